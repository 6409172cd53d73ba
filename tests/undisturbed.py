"""What is measured in moments, on a machine that others use, too."""


def undisturbed(make, holds):
    """The first of three measurements of which that holds, or the last.

    What other work on the machine takes comes and goes; what the measuring does wrong does not.
    """
    for _ in range(3):
        found = make()
        if holds(found):
            break
    return found
