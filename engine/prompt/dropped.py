"""Notes on what a chat template leaves out of a conversation, or rewrites."""

from __future__ import annotations

from collections.abc import Mapping

from attentropy.engine.prompt.marks import Finding
from attentropy.engine.prompt.messages import NAME, Conversation, KeyPath
from attentropy.engine.prompt.parts import is_written
from attentropy.engine.prompt.reasoning import KEYS

_Findings = Mapping[KeyPath, Finding]


def loses_content(conversation: Conversation, findings: _Findings) -> bool:
    """Return whether a message's content is missing completely, in this form of the messages."""
    return any(
        paths and all(not findings[path].words for path in paths)
        for i in range(len(conversation.messages))
        for paths in [[path for path in findings if path[:3] == ("messages", i, "content")]]
    )


def dropped_notes(conversation: Conversation, findings: _Findings) -> list[str]:
    """Return a note for each content, reasoning, tool call and argument that is not shown."""
    notes = []
    for i, message in enumerate(conversation.messages):
        own = {path: finding for path, finding in findings.items() if path[:2] == ("messages", i)}
        who = f"message {i + 1} ({message['role'][:20]})"
        reported = {path: finding for path, finding in own.items() if is_written(path)}
        for role, what in (("content", "the content"), ("reasoning", "the reasoning")):
            shown = sum(
                word.role == role for finding in reported.values() for word in finding.words
            )
            missing = sum(finding.missing.count(role) for finding in reported.values())
            if role == "reasoning" and shown and _is_repeated(reported):
                missing = 0
            if missing:
                part = "a part of " if shown else ""
                notes.append(f"the chat template leaves out {part}{what} of {who}")
        notes += _call_notes(own, who)
        for path, finding in reported.items():
            if finding.doubt:
                notes.append(f"the chat template rewrites {path[2]!r} of {who}; {finding.doubt}")
    for key in ("tools", "documents"):
        own = {path: finding for path, finding in findings.items() if path[0] == key}
        lost = [n for n in {p[1] for p in own} if not any(own[p].words for p in own if p[1] == n)]
        if lost:
            part = "some of the " if len(lost) < len({path[1] for path in own}) else "the "
            notes.append(f"the chat template leaves out {part}{key}")
    return notes


def _is_repeated(reported: _Findings) -> bool:
    """Return whether a message has its reasoning under two names, of which one is shown."""
    return sum(path[-1] in KEYS for path in reported) > 1


def _call_notes(own: _Findings, who: str) -> list[str]:
    """Return a note where names or arguments of a message's tool calls are missing."""
    calls = {
        path: finding for path, finding in own.items()
        if path[2] == "tool_calls" and path[-1] != NAME and path[-1] not in ("id", "index")
    }  # fmt: skip
    if all(finding.words for finding in calls.values()):
        return []
    if not any(finding.words for finding in calls.values()):
        return [f"the chat template leaves out the tool calls of {who}"]
    # A truth value is no word of its own where the template chooses one for it.
    texts = [finding for finding in calls.values() if finding.missing and not finding.words]
    return [f"the chat template leaves out a part of the tool calls of {who}"] if texts else []
