//! A connection to OBS that counts what comes over it, because obws does not: it takes messages of 64 MB and makes trees of them that are
//! ten times as large. obws connects to a door of ours on this machine, and what OBS sends is passed on to it within bounds.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// The largest message in bytes. A collection of 1000 scenes is listed in 150 KB, one of 2000 sources in 600 KB.
const LARGEST: u64 = 2 << 20;
/// The most bytes between two requests, which come every 2 s: events wait in memory until they are looked at.
const MOST: u64 = 16 << 20;
/// obws connects at once.
const TAKEN: Duration = Duration::from_secs(5);
/// What is on its way when OBS hangs up is read within this.
const REST: Duration = Duration::from_secs(1);

/// The door. The connection ends with it.
#[derive(Debug)]
pub(super) struct Relay {
    /// Where obws is to connect, on 127.0.0.1.
    pub(super) port: u16,
    overrun: Arc<AtomicBool>,
    _work: AbortOnDropHandle<()>,
}

impl Relay {
    /// Connects to OBS, and opens the door for the first to come.
    ///
    /// # Errors
    /// What the system says of the way to OBS.
    pub(super) async fn open(host: &str, port: u16) -> io::Result<Self> {
        let far = TcpStream::connect((host, port)).await?;
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = door.local_addr()?.port();
        let overrun = Arc::new(AtomicBool::new(false));
        let over = overrun.clone();
        let work = async move {
            let Ok(Ok((near, _))) = timeout(TAKEN, door.accept()).await else { return };
            drop(door);
            over.store(pass(near, far).await, Ordering::Release);
        };
        let work = tokio::spawn(tracing::Instrument::instrument(work, tracing::info_span!("relay")));
        Ok(Self { port, overrun, _work: AbortOnDropHandle::new(work) })
    }

    /// Whether it was cut off because OBS sent too much.
    pub(super) fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Acquire)
    }
}

/// Passes on, both ways, until one side hangs up. True: until OBS sent too much.
async fn pass(near: TcpStream, far: TcpStream) -> bool {
    for socket in [&near, &far] {
        // Without it small requests wait for each other.
        let _ = socket.set_nodelay(true);
    }
    let ((mut from_us, to_us), (from_obs, to_obs)) = (near.into_split(), far.into_split());
    let since_request = AtomicU64::new(0);
    let overrun = tokio::select! {
        () = up(&mut from_us, to_obs, &since_request) => return false,
        overrun = down(from_obs, to_us, &since_request) => overrun,
    };
    if !overrun {
        // A socket that is closed with something unread throws away what is on its way to the other side.
        let rest = async { while from_us.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} };
        let _in_time = timeout(REST, rest).await;
    }
    overrun
}

/// Our requests.
async fn up(from_us: &mut OwnedReadHalf, mut to_obs: OwnedWriteHalf, since_request: &AtomicU64) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from_us.read(&mut buffer).await {
        since_request.store(0, Ordering::Relaxed);
        if to_obs.write_all(buffer.get(..count).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}

/// OBS's answers and events. True when they are too much.
async fn down(mut from_obs: OwnedReadHalf, mut to_us: OwnedWriteHalf, since_request: &AtomicU64) -> bool {
    let mut buffer = vec![0; 16 << 10];
    let mut messages = Messages::default();
    while let Ok(count @ 1..) = from_obs.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default();
        let before = since_request.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if before + bytes.len() as u64 > MOST || messages.longest(bytes) > LARGEST {
            return true;
        }
        if to_us.write_all(bytes).await.is_err() {
            return false;
        }
    }
    let _ = to_us.shutdown().await;
    false
}

/// Follows the frames that a websocket's server sends (RFC 6455, section 5.2), behind the answer to the upgrade.
#[derive(Debug, Default)]
struct Messages {
    /// How much of the blank line that ends the upgrade's answer has come.
    blank: usize,
    /// A frame's header, as far as it has come.
    header: Vec<u8>,
    /// Bytes of the frame that are still to come.
    left: u64,
    /// Bytes of the message that the frame belongs to, as announced.
    message: u64,
}

impl Messages {
    /// The length of the longest message that is announced in what follows.
    fn longest(&mut self, mut bytes: &[u8]) -> u64 {
        const BLANK: &[u8] = b"\r\n\r\n";
        let mut longest = 0;
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.blank < BLANK.len() {
                self.blank = match BLANK.get(self.blank) {
                    Some(&expected) if byte == expected => self.blank + 1,
                    _ => usize::from(byte == b'\r'),
                };
            } else if self.left > 0 {
                let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.left -= taken as u64;
                bytes = bytes.get(taken..).unwrap_or_default();
                continue;
            } else {
                self.header.push(byte);
                if let Some((opcode, length)) = header(&self.header) {
                    self.header.clear();
                    self.left = length;
                    match opcode {
                        // It goes on with the one before.
                        0 => self.message = self.message.saturating_add(length),
                        1..8 => self.message = length,
                        // Pings and the like may come in between.
                        _ => longest = longest.max(length),
                    }
                    longest = longest.max(self.message);
                }
            }
            bytes = rest;
        }
        longest
    }
}

/// A frame's opcode and how many bytes follow its header; none while that is not whole.
fn header(bytes: &[u8]) -> Option<(u8, u64)> {
    let (&first, rest) = bytes.split_first()?;
    let (&second, rest) = rest.split_first()?;
    let length = match second & 0x7f {
        126 => u64::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?)),
        127 => u64::from_be_bytes(rest.get(..8)?.try_into().ok()?),
        short => u64::from(short),
    };
    // A server does not mask; one that does sends four bytes more.
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    Some((first & 0x0f, length.saturating_add(mask)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, last: bool, length: usize) -> Vec<u8> {
        let mut frame = vec![opcode | if last { 0x80 } else { 0 }];
        match u16::try_from(length) {
            Ok(short @ 0..126) => frame.push(u8::try_from(short).unwrap_or_default()),
            Ok(long) => {
                frame.push(126);
                frame.extend(long.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // What looks like a header, and like the end of another.
        frame.extend(b"\r\n\r\n\x81\x7f".iter().cycle().take(length));
        frame
    }

    proptest! {
        /// However what OBS sends is cut into pieces, the longest message is found, fragments counted together and pings apart.
        #[test]
        fn longest_message_is_found_in_pieces_of_any_size(
            messages in prop::collection::vec(prop::collection::vec(0_usize..70_000, 1..4), 1..5),
            piece in 1_usize..5000,
        ) {
            let mut sent = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec();
            for fragments in &messages {
                for (number, length) in fragments.iter().enumerate() {
                    sent.extend(frame(u8::from(number == 0), number + 1 == fragments.len(), *length));
                    sent.extend(frame(9, true, 4));
                }
            }
            let longest = messages.iter().map(|fragments| fragments.iter().sum::<usize>()).max().unwrap_or_default().max(4);
            let mut watched = Messages::default();
            let found = sent.chunks(piece).map(|piece| watched.longest(piece)).max();
            prop_assert_eq!(found, Some(longest as u64));
        }

        /// Nothing that comes from outside ends the process.
        #[test]
        fn any_bytes_are_survived(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40)) {
            let mut watched = Messages { blank: 4, ..Messages::default() };
            for piece in pieces {
                watched.longest(&piece);
            }
        }
    }
}
