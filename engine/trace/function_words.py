"""Function words by language: words that carry grammar, and tell little of what a text says.

Articles, pronouns, prepositions, conjunctions, auxiliary verbs and particles, case folded, with
straight apostrophes. "Yes" and "no" are none of them: they can be the whole answer.
"""

from __future__ import annotations

from collections.abc import Iterable

# A language counts as one of a text's from this share of the function words of its first language.
_SHARE = 1 / 2
_LEAST = 2  # of its words in a text

_LATIN = {
    "English": """
        a about above after again against all also am an and another any are aren't as
        at be because been before being below between both but by can can't cannot could
        couldn't did didn't do does doesn't doing don't done down during each either
        else etc even ever every few for from further had hadn't has hasn't have haven't
        having he he'd he'll he's her here here's hers herself him himself his how how's
        however i i'd i'll i'm i've if in into is isn't it it'd it'll it's its itself
        just let let's many may maybe me might mine more most much must mustn't my
        myself neither nor not now of off often on once one's only onto or other
        others ought our ours ourselves out over own per perhaps quite rather really s
        same shall shan't she she'd she'll she's should shouldn't since so some such t
        than that that's the their theirs them themselves then there there's therefore
        these they they'd they'll they're they've this those though through thus to too
        toward towards under until up upon us used using very via was wasn't we we'd
        we'll we're we've were weren't what what's when when's where where's whether
        which while who who's whom whose why why's will with within without won't would
        wouldn't yet you you'd you'll you're you've your yours yourself yourselves
    """,
    "German": """
        aber als also am an auch auf aus bei beim bin bis bist da damit dann das dass
        dein deine dem den denn der des dessen deren die dies diese diesem diesen dieser
        dieses doch dort du durch ein eine einem einen einer eines er es etwas euch euer
        für gegen gibt habe haben hat hatte hatten hier ich ihm ihn ihnen ihr ihre ihrem
        ihren ihrer im in ins ist jede jeder jedes jener kann können man mehr mein
        meine mich mir mit muss nach nicht nichts noch nun nur ob oder ohne schon sehr
        sein seine seinem seinen seiner seit sich sie sind so soll sollte sondern soweit
        über um und uns unser unter vom von vor war waren warum was weil welche welcher
        welches wenn wer werde werden wie wieder will wir wird wo wurde wurden würde zu
        zum zur zwischen
    """,
    "French": """
        ai ainsi alors as au aucun aussi autre aux avait avec avez avoir avons c'est ce
        ceci cela celle celui ces cet cette ceux chez comme comment d dans de des donc
        dont du elle elles en entre es est et étaient était être eu eux fut il ils j
        j'ai je jusque l la là le les leur leurs lui ma mais me même mes moi mon n n'est
        ne ni nos notre nous on ont ou où par parce pas peut peu plus pour pourquoi qu
        qu'il quand que quel quelle quelles quels qui s s'est sa sans se sera ses si son
        sont sous suis sur ta te tes toi ton tous tout toute toutes très tu un une vers
        vos votre vous y
    """,
    "Spanish": """
        a al algo ante antes aquel aquella así aunque bajo bien cada como con contra
        cual cuando cuál cómo de del desde donde dónde durante e el él ella ellas ellos
        en entre era eran es esa esas ese eso esos esta está están estas este esto estos
        estoy fue fueron ha había han hasta hay he la las le les lo los más me mi mis
        mucho muy ni no nos nosotros nuestra nuestro o os otra otro para pero por porque
        pues que qué quien quién se sea según ser si sido sin sobre son su sus
        también tan te tiene tienen todo todos tu tú tus un una unas uno unos usted y ya
        yo
    """,
    "Italian": """
        a ad agli ai al alla alle allo anche c'è che chi ci come con cosa così cui da
        dai dal dalla dalle de degli dei del della delle dello di dove due e è ed era
        essere fra gli ha hanno ho i il in io l la le lei li lo loro lui ma me mi mia
        mio molto ne nei nel nella nelle noi non nostro o ogni per perché più può qual
        quale quando quello questa queste questi questo qui se sei si sia siamo sono sta
        su sua sue sui sul sulla suo suoi tra tu tutti tutto un una uno vi voi
    """,
    "Portuguese": """
        a à ao aos as às até com como da das de dela dele do dos e é ela elas ele eles
        em entre era essa esse esta está estão este eu foi foram há isso isto já lhe
        mais mas me mesmo meu minha muito na não nas nem no nos nós o os ou para pela
        pelo por porque qual quando que quem são se sem ser seu seus só sua suas também
        te tem têm um uma você
    """,
    "Dutch": """
        aan al als bij daar dan dat de deze die dit door een en er had heb hebben heeft
        het hier hij hoe hun ik in is je kan maar me meer met mijn na naar niet nog of
        om omdat onder ons ook op over te tot u uit van veel voor waar wanneer waren was
        wat we wel werd wie wij wordt worden zal ze zich zij zijn zo zou
    """,
}  # fmt: skip

_OTHER_SCRIPTS = {
    "Russian": """
        а без был была были было быть в вам вас весь во вот все всё вы где да для до его
        ее её если есть еще ещё же за и из или им их к как какой когда кто ли мне мой мы
        на над не него нее нет ни них но ну о об он она они оно от по под при с сам свой
        себя со так также такой там то тогда того тоже той только том ты у уже хотя чего
        чей чем что чтобы чье эта эти это этот я
    """,
    "Arabic": """
        أن إن أنا أنت إلى أو أي أين التي الذي الذين ثم حتى ذلك سوف على عن عند غير فى في قد
        كان كانت كل كم كما كيف لا لم لن له لها لهم ليس ما ماذا متى مع من منذ نحن هذا هذه هل
        هم هما هناك هو هي و يا
    """,
    "Hebrew": """
        אבל או אותו אותה אחרי אל אלה אם אני אנחנו את אתה אתם בין גם הוא היא היה היו הם
        הן זה זאת זו יש כי כל כן לא לו לה להם מה מי מן עד על עם רק של שלא שלו שלה
    """,
    "Chinese": """
        的 了 是 在 和 與 与 也 而 及 或 但 被 把 这 那 這 我 你 他 她
        它 们 們 吗 嗎 呢 吧 啊 之 于 於 不 很 就 么 麼 着
    """,
    "Japanese": """
        の に は を が と で も へ や か ね よ な だ です ます た て し れ さ い う る
        から まで より これ それ あれ この その あの ここ そこ する こと もの ある いる ない
    """,
    "Korean": """
        은 는 이 가 을 를 의 에 에서 와 과 도 로 으로 만 그 저 것 수 및
        또는 그리고 입니다 있다 있습니다
    """,
}  # fmt: skip

_LATIN_WORDS = {language: frozenset(words.split()) for language, words in _LATIN.items()}
_OTHER_WORDS = frozenset(word for words in _OTHER_SCRIPTS.values() for word in words.split())


def function_words(words: Iterable[str]) -> frozenset[str]:
    """Return the function words of the languages that a text is written in.

    words: the text's, case folded. The same letters are a function word in one language and a
    content word in another ("war", "die", "son"), so those of languages in Latin letters count
    where the text uses several of them; English where it uses none.
    """
    text = list(words)
    uses = {name: sum(word in own for word in text) for name, own in _LATIN_WORDS.items()}
    most = max(uses.values())
    languages = [name for name, n in uses.items() if n >= max(_LEAST, most * _SHARE)] or ["English"]
    return _OTHER_WORDS.union(*(_LATIN_WORDS[name] for name in languages))
