"""What schemathesis does not know by itself."""

import schemathesis


@schemathesis.serializer("application/sdp")
def offer(_context, value):
    """A WebRTC offer is text."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@schemathesis.serializer("application/zip")
def archive(_context, value):
    """A backup is a file."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
