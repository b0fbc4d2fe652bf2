"""Good protection for what was changed, so that what is behind it is reached."""

from bulkcmp.cmp import messages, protection
from bulkcmp.cmp.asn1 import decode_sequence_of, encode
from bulkcmp.errors import RemoteCmpError
from bulkcmp.model import Secret


def macced(der: bytes, secret: Secret, most: int) -> bytes:
    """A message with the value of its MAC made right; as it is, where that can't be.

    Args:
        most: iterations of its key's derivation.
    """
    try:
        message = messages.decode_message(der)
        parameters = protection.mac_parameters(message, max_iterations=most)
    except RemoteCmpError:
        return der
    if parameters is None:
        return der
    part = message.protected_part
    value = protection.mac(protection.derive(parameters.derivation(secret)), parameters, part)
    header, body = map(encode, decode_sequence_of(part))
    return messages.encode_message(header, body, value, message.extra_certs)
