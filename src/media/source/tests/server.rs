//! An HTTP server that sends FLV as SRS does: a burst from the last key frame on, then live; or misbehaves.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use crate::core::flv;

/// Milliseconds from picture to picture, from sound to sound, and from key frame to key frame.
pub(crate) const PICTURE: i64 = 40;
pub(crate) const SOUND: i64 = 20;
pub(crate) const GOP: i64 = 1000;

/// What it does on one connection. Times are milliseconds since the request.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    pub(crate) status: u16,
    /// It begins with what has come since the last key frame.
    pub(crate) burst: bool,
    pub(crate) pictures: bool,
    /// Time stamps begin at zero with each connection.
    pub(crate) own_line: bool,
    /// It answers so late.
    pub(crate) delay: u64,
    pub(crate) closes_after: Option<u64>,
    pub(crate) silent_after: Option<u64>,
    pub(crate) garbage_after: Option<u64>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            status: 200,
            burst: true,
            pictures: true,
            own_line: false,
            delay: 0,
            closes_after: None,
            silent_after: None,
            garbage_after: None,
        }
    }
}

/// See the module.
pub(crate) struct SimulatedFlvServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// The publish, which began some groups before the server.
    begin: Instant,
    stop: AtomicBool,
    /// The publisher has fallen silent: nothing after this, in milliseconds.
    silent: std::sync::atomic::AtomicI64,
    requests: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl SimulatedFlvServer {
    /// `behaviour` is told how many requests there were before.
    pub(crate) fn start(behaviour: impl Fn(usize) -> Behaviour + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            begin: Instant::now().checked_sub(Duration::from_millis(2600)).unwrap(),
            stop: AtomicBool::new(false),
            silent: std::sync::atomic::AtomicI64::new(i64::MAX),
            requests: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
        });
        let behaviour = Arc::new(behaviour);
        let all = shared.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if all.stop.load(SeqCst) {
                    break;
                }
                let (all, behaviour) = (all.clone(), behaviour.clone());
                thread::spawn(move || {
                    let open = all.open.fetch_add(1, SeqCst) + 1;
                    all.most_open.fetch_max(open, SeqCst);
                    let number = all.requests.fetch_add(1, SeqCst);
                    let _gone = all.serve(socket, &behaviour(number));
                    all.open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/live/secret-key.flv", self.address)
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    pub(crate) fn most_open(&self) -> usize {
        self.shared.most_open.load(SeqCst)
    }

    /// The publisher falls silent, or sends again.
    pub(crate) fn set_silent(&self, silent: bool) {
        let at = if silent { self.shared.time() } else { i64::MAX };
        self.shared.silent.store(at, SeqCst);
    }
}

impl Drop for SimulatedFlvServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        let _wakes = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn time(&self) -> i64 {
        i64::try_from(self.begin.elapsed().as_millis()).unwrap()
    }

    fn serve(&self, mut socket: TcpStream, behaviour: &Behaviour) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        let mut reader = BufReader::new(socket.try_clone()?);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        thread::sleep(Duration::from_millis(behaviour.delay));
        let status = behaviour.status;
        write!(socket, "HTTP/1.1 {status} Whatever\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        if status != 200 {
            return Ok(());
        }
        let chunk = |mut socket: &TcpStream, bytes: &[u8]| {
            let mut whole = format!("{:x}\r\n", bytes.len()).into_bytes();
            whole.extend_from_slice(bytes);
            whole.extend_from_slice(b"\r\n");
            socket.write_all(&whole)
        };
        let asked = self.time();
        let silent = self.silent.load(SeqCst);
        let now = asked.min(silent);
        let mut next =
            if behaviour.burst && behaviour.pictures { now / GOP * GOP } else { now / SOUND * SOUND + SOUND };
        let zero = if behaviour.own_line { next } else { 0 };
        let mut headers = flv::file_header(true, true).to_vec();
        let avc = data_encoding::HEXLOWER
            .decode(b"0142c01effe100196742c01eda0280bfe5c044000003000400000300c83c58ba8001000468ce0fc8")
            .unwrap();
        if behaviour.pictures {
            headers.extend_from_slice(&flv::tag(9, 0, &[&[0x17, 0, 0, 0, 0], &avc[..]].concat()));
        }
        headers.extend_from_slice(&flv::tag(8, 0, &[0xaf, 0, 0x11, 0x90]));
        chunk(&socket, &headers)?;
        let mut begun = false;
        let reached = |after: Option<u64>, now: i64| after.is_some_and(|after| now - asked >= after.cast_signed());
        loop {
            let now = self.time();
            if self.stop.load(SeqCst) || reached(behaviour.closes_after, now) {
                return socket.write_all(b"0\r\n\r\n");
            }
            if reached(behaviour.garbage_after, now) {
                return chunk(&socket, &[0xee; 300]);
            }
            let until = if reached(behaviour.silent_after, now) { i64::MIN } else { now.min(self.silent.load(SeqCst)) };
            let mut bytes = Vec::new();
            if begun && next < now - 1500 && until == now {
                // What a publisher did not send it does not send later.
                next = now / GOP * GOP + GOP;
            }
            begun = true;
            while next <= until {
                let time = u32::try_from(next - zero).unwrap();
                if behaviour.pictures && next % PICTURE == 0 {
                    bytes.extend_from_slice(&flv::tag(9, time, &picture(next)));
                }
                bytes.extend_from_slice(&flv::tag(8, time, &[&[0xaf, 1][..], &[0x21; 60]].concat()));
                next += SOUND;
            }
            if !bytes.is_empty() {
                chunk(&socket, &bytes)?;
            }
            // The client's end is seen without writing.
            socket.set_read_timeout(Some(Duration::from_millis(5)))?;
            match std::io::Read::read(&mut socket, &mut [0; 16]) {
                Ok(_) => return Ok(()),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A picture that differs from every other: an IDR at each `GOP`.
fn picture(time: i64) -> Vec<u8> {
    let idr = time % GOP == 0;
    let mut body = vec![if idr { 0x17 } else { 0x27 }, 1, 0, 0, 0];
    let mut unit = vec![if idr { 0x65 } else { 0x41 }, 0x88];
    unit.resize(if idr { 4000 } else { 800 }, 0x5a);
    unit.extend_from_slice(&time.to_be_bytes());
    body.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&unit);
    body
}
