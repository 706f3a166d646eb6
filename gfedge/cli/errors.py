"""What a command says when it cannot do what was asked."""

FAILED = 1
UNUSABLE = 2
"""Wrong use, or nothing there to talk to; the same as argparse's."""
INTERRUPTED = 130


class CommandError(Exception):
    """Ends the command: the text goes to stderr after `error: `, the code to the shell."""

    def __init__(self, text: str, exit_code: int = FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code
