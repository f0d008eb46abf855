//! Who is at the door that does not speak RTMP: told by its first bytes, so that whoever set the encoder up learns what to change.

use std::fmt;

/// So many bytes tell them apart.
const TELLING: usize = 5;

/// What RTMPT's clients and browsers hear.
const HTTP_ANSWER: &[u8] =
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: text/plain\r\nContent-Length: 37\r\nConnection: close\r\n\r\n\
    Only plain RTMP (rtmp://) works here.";

/// TLS's alert that no handshake is possible (RFC 5246, 7.2): fatal, `handshake_failure`.
const TLS_ALERT: &[u8] = &[21, 3, 1, 0, 2, 2, 40];

/// Another protocol on RTMP's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// RTMP tunnelled in HTTP: `POST /open/1`, or Flash's `POST /fcs/ident2` before it.
    Rtmpt,
    /// HTTP otherwise: a browser, or a scanner.
    Http,
    /// Encrypted RTMP: versions 6, 8 and 9.
    Rtmpe,
    /// TLS, which is how RTMPS begins.
    Tls,
    /// An MPEG transport stream.
    MpegTs,
    /// FLV without RTMP around it.
    Flv,
    /// Something else, by its first byte: what RTMP has as its version.
    Unknown(u8),
}

impl Dialect {
    /// What these first bytes are, none if RTMP. `Err` when it takes more of them to tell.
    pub(super) fn of(input: &[u8]) -> Result<Option<Self>, ()> {
        let Some(&first) = input.first() else { return Err(()) };
        let dialect = match first {
            3 => return Ok(None),
            6 | 8 | 9 => Self::Rtmpe,
            22 => Self::Tls,
            b'P' | b'G' | b'H' | b'O' | b'F' if input.len() < TELLING => return Err(()),
            _ if input.starts_with(b"POST ") => {
                let path = input.get(TELLING..).unwrap_or_default();
                let is_rtmpt = [&b"/open/"[..], b"/fcs/", b"/idle/", b"/send/", b"/close/"]
                    .iter()
                    .any(|known| path.starts_with(known) || known.starts_with(path));
                if is_rtmpt { Self::Rtmpt } else { Self::Http }
            }
            _ if [&b"GET "[..], b"HEAD ", b"PUT ", b"OPTIO"].iter().any(|verb| input.starts_with(verb)) => Self::Http,
            _ if input.starts_with(b"FLV\x01") => Self::Flv,
            b'G' => Self::MpegTs,
            other => Self::Unknown(other),
        };
        Ok(Some(dialect))
    }

    /// What it understands as a refusal.
    pub(super) const fn answer(self) -> &'static [u8] {
        match self {
            Self::Rtmpt | Self::Http => HTTP_ANSWER,
            Self::Tls => TLS_ALERT,
            Self::Rtmpe | Self::MpegTs | Self::Flv | Self::Unknown(_) => &[],
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmpt => "it speaks RTMP inside HTTP (RTMPT); its server address has to begin with rtmp://",
            Self::Http => "it speaks HTTP, which is not spoken on RTMP's port",
            Self::Rtmpe => "it speaks encrypted RTMP (RTMPE); its server address has to begin with rtmp://",
            Self::Tls => "it speaks TLS (RTMPS); its server address has to begin with rtmp://",
            Self::MpegTs => "it sends MPEG-TS without RTMP; its output has to be RTMP with FLV",
            Self::Flv => "it sends FLV without RTMP; its server address has to begin with rtmp://",
            Self::Unknown(first) => {
                return write!(f, "its first byte is {first}, which no version of RTMP begins with");
            }
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_by_its_first_bytes_however_few_come_at_once() {
        for (bytes, expected) in [
            (&b"POST /open/1 HTTP/1.1\r\n"[..], Some(Dialect::Rtmpt)),
            (b"POST /fcs/ident2 HTTP/1.1\r\n", Some(Dialect::Rtmpt)),
            (b"POST /api/v1/streams HTTP/1.1\r\n", Some(Dialect::Http)),
            (b"GET / HTTP/1.1\r\n", Some(Dialect::Http)),
            (b"HEAD / HTTP/1.1\r\n", Some(Dialect::Http)),
            (b"OPTIONS * HTTP/1.1\r\n", Some(Dialect::Http)),
            (&[6, 0, 0, 0, 0, 128, 0, 1, 2], Some(Dialect::Rtmpe)),
            (&[22, 3, 1, 2, 0, 1, 0], Some(Dialect::Tls)),
            (&[0x47, 0x40, 0x11, 0x10, 0, 0x42], Some(Dialect::MpegTs)),
            (b"FLV\x01\x05\0\0\0\x09", Some(Dialect::Flv)),
            (b"SSH-2.0-client", Some(Dialect::Unknown(b'S'))),
            (b"PROXY TCP4 10.0.0.1", Some(Dialect::Unknown(b'P'))),
            (&[3, 0, 0, 0, 0], None),
        ] {
            assert_eq!(Dialect::of(bytes), Ok(expected));
            let known = (1..=bytes.len()).find_map(|length| Dialect::of(bytes.get(..length)?).ok());
            let early = known.unwrap();
            // Of a verb that has no path yet, either is right.
            assert!(early == expected || (early == Some(Dialect::Rtmpt) && expected == Some(Dialect::Http)));
        }
        assert_eq!(Dialect::of(b""), Err(()));
    }

    #[test]
    fn the_answer_in_http_is_as_long_as_it_says() {
        let text = String::from_utf8_lossy(Dialect::Rtmpt.answer());
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
    }
}
