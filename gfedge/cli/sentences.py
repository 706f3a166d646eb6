"""What a command's line in a list says, as the sentence that its own help begins with."""


def sentence(text: str) -> str:
    """With a capital and a full stop; the rest as it is: `str.capitalize` makes "tls" of TLS."""
    return f"{text[:1].upper()}{text[1:]}."
