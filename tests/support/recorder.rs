//! A platform of the tests' own: an RTMP server that logs every message, and can refuse, freeze, die and come back.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    Metronome,
    flv::{self, Content},
    rtmp::{
        ACKNOWLEDGEMENT, AUDIO, Amf, COMMAND, ChunkReader, ChunkWriter, DATA, Message, PEER_BANDWIDTH, Unwrap, VIDEO,
        WINDOW_SIZE, command, control, status,
    },
};

/// One message as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) arrival: Instant,
    /// `AUDIO`, `VIDEO` or `DATA`.
    pub(crate) kind: u8,
    /// Milliseconds, unwrapped.
    pub(crate) time: i64,
    pub(crate) content: Content,
    pub(crate) size: usize,
    /// Empty if the recorder was told to keep none; headers are always kept.
    pub(crate) payload: Vec<u8>,
}

/// One publish session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) app: String,
    pub(crate) key: String,
    pub(crate) began: Instant,
    pub(crate) ended: Option<Instant>,
    pub(crate) records: Vec<Record>,
    /// Names of the commands that came after `publish`, in order.
    pub(crate) commands: Vec<String>,
    /// The longest time by which the machine itself was late meanwhile.
    pub(crate) machine_was_late: Duration,
}

impl Session {
    /// Writes it as an FLV file.
    pub(crate) fn dump(&self, path: &Path) -> io::Result<()> {
        let tags = self.records.iter().map(|record| {
            // A publisher wraps its metadata for the server to set; a file holds it bare.
            let wrapped = record.kind == DATA && record.payload.starts_with(b"\x02\0\x0d@setDataFrame");
            (record.kind, record.time, if wrapped { &record.payload[16..] } else { &record.payload[..] })
        });
        flv::write(path, tags)
    }

    /// Whether the publisher said that it ends, as a platform understands it: then the broadcast is over.
    pub(crate) fn said_goodbye(&self) -> bool {
        self.commands.iter().any(|command| ["FCUnpublish", "closeStream", "deleteStream"].contains(&command.as_str()))
    }

    /// The pictures, in the order of arrival.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| matches!(record.content, Content::Picture { .. }))
    }

    /// The frames of sound.
    pub(crate) fn sounds(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.content == Content::Sound)
    }
}

struct Shared {
    refuse: AtomicBool,
    frozen: AtomicBool,
    keep_payload: AtomicBool,
    /// Counts the recorder's lives; a connection of an earlier one closes.
    life: AtomicU64,
    sessions: Mutex<Vec<Session>>,
    /// Connections that got as far as `publish`, refused ones too.
    attempts: AtomicU64,
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap()
    }
}

/// The server. Ends with its last owner.
pub(crate) struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
    metronome: Metronome,
}

impl Recorder {
    /// Listens on a port of its own.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut recorder = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(Shared {
                refuse: AtomicBool::new(false),
                frozen: AtomicBool::new(false),
                keep_payload: AtomicBool::new(true),
                life: AtomicU64::new(0),
                sessions: Mutex::new(Vec::new()),
                attempts: AtomicU64::new(0),
            }),
            listener: None,
            metronome: Metronome::start(),
        };
        recorder.listen(listener);
        recorder
    }

    fn listen(&mut self, listener: TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (self.shared.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((socket, _)) => {
                        let shared = shared.clone();
                        // It ends with its connection, or with this life of the recorder.
                        thread::spawn(move || {
                            let _ = serve(&shared, socket);
                        });
                    }
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        self.listener = Some((stop, thread));
    }

    /// `rtmp://127.0.0.1:PORT/app`, to which the box publishes with any key.
    pub(crate) fn url(&self) -> String {
        format!("rtmp://{}/app", self.address)
    }

    /// Refuses every publish from now on, or no longer.
    pub(crate) fn refuse(&self, on: bool) {
        self.shared.refuse.store(on, Ordering::Relaxed);
    }

    /// Stops reading from every connection, or goes on.
    pub(crate) fn freeze(&self, on: bool) {
        self.shared.frozen.store(on, Ordering::Relaxed);
    }

    /// Keeps only the headers' payloads from now on: for long runs.
    pub(crate) fn keep_no_payload(&self) {
        self.shared.keep_payload.store(false, Ordering::Relaxed);
    }

    /// Closes every connection and the port.
    pub(crate) fn die(&mut self) {
        self.shared.life.fetch_add(1, Ordering::Relaxed);
        if let Some((stop, thread)) = self.listener.take() {
            stop.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
    }

    /// Listens again on the same port.
    pub(crate) fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).unwrap();
        self.listen(listener);
    }

    /// Publishes that were asked for, refused ones too.
    pub(crate) fn attempts(&self) -> u64 {
        self.shared.attempts.load(Ordering::Relaxed)
    }

    /// How many sessions there have been.
    pub(crate) fn session_count(&self) -> usize {
        self.shared.sessions().len()
    }

    /// A copy of every session so far.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        let mut sessions = self.shared.sessions().clone();
        for session in &mut sessions {
            session.machine_was_late = self.metronome.worst();
        }
        sessions
    }

    /// The only session there has been.
    pub(crate) fn only_session(&self) -> Session {
        let sessions = self.sessions();
        let summary: Vec<_> = sessions.iter().map(|session| (session.began, session.records.len())).collect();
        assert_eq!(sessions.len(), 1, "one publish session for the whole show: {summary:?}");
        sessions.into_iter().next().unwrap()
    }

    /// Looks at the sessions without copying them.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&[Session]) -> R) -> R {
        look(&self.shared.sessions())
    }

    /// When the first picture of session `index` arrived.
    pub(crate) fn first_picture(&self, index: usize) -> Option<Instant> {
        self.look(|sessions| sessions.get(index)?.pictures().next().map(|record| record.arrival))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.die();
    }
}

/// Serves one connection until it ends.
fn serve(shared: &Shared, mut socket: TcpStream) -> io::Result<()> {
    let life = shared.life.load(Ordering::Relaxed);
    socket.set_nonblocking(false)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut session = None;
    let result = talk(shared, &mut socket, life, &mut session);
    if let Some(index) = session {
        shared.sessions()[index].ended = Some(Instant::now());
    }
    result
}

fn talk(shared: &Shared, socket: &mut TcpStream, life: u64, session: &mut Option<usize>) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut greeting = Vec::new();
    let mut shaken = false;
    let mut reader = ChunkReader::new();
    let mut writer = ChunkWriter::new();
    let mut unwrap = Unwrap::default();
    let (mut received, mut acknowledged, mut window) = (0_u32, 0_u32, 2_500_000_u32);
    loop {
        if shared.life.load(Ordering::Relaxed) != life {
            return Ok(());
        }
        if shared.frozen.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        let count = match socket.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        };
        let arrival = Instant::now();
        received = received.wrapping_add(count as u32);
        if shaken {
            reader.feed(&buffer[..count]);
        } else {
            let before = greeting.len();
            greeting.extend_from_slice(&buffer[..count]);
            if before < 1537 && greeting.len() >= 1537 {
                // S0, S1 (ours: the client's time stamp field zeroed), S2 (the client's own).
                let mut answer = greeting[..1537].to_vec();
                answer.extend_from_slice(&greeting[1..1537]);
                socket.write_all(&answer)?;
            }
            if greeting.len() < 1537 + 1536 {
                continue;
            }
            shaken = true;
            reader.feed(&greeting[1537 + 1536..]);
        }
        let mut out = Vec::new();
        while let Some(message) = reader.next() {
            match message.kind {
                WINDOW_SIZE if message.payload.len() == 4 => {
                    let bytes = [message.payload[0], message.payload[1], message.payload[2], message.payload[3]];
                    window = u32::from_be_bytes(bytes).max(1);
                }
                COMMAND if !answer(shared, &message, &mut writer, &mut out, session, arrival) => {
                    socket.write_all(&out)?;
                    return Ok(());
                }
                AUDIO | VIDEO | DATA => {
                    if let Some(index) = *session {
                        let content = flv::content(message.kind, &message.payload);
                        let header = !matches!(content, Content::Picture { .. } | Content::Sound);
                        let keep = header || shared.keep_payload.load(Ordering::Relaxed);
                        let record = Record {
                            arrival,
                            kind: message.kind,
                            time: unwrap.next(message.timestamp),
                            content,
                            size: message.payload.len(),
                            payload: if keep { message.payload } else { Vec::new() },
                        };
                        shared.sessions()[index].records.push(record);
                    }
                }
                _ => {}
            }
        }
        if received.wrapping_sub(acknowledged) >= window {
            acknowledged = received;
            writer.write(2, &control(ACKNOWLEDGEMENT, &received.to_be_bytes()), &mut out);
        }
        socket.write_all(&out)?;
    }
}

/// Answers a command; false: and closes the connection then.
fn answer(
    shared: &Shared,
    message: &Message,
    writer: &mut ChunkWriter,
    out: &mut Vec<u8>,
    session: &mut Option<usize>,
    arrival: Instant,
) -> bool {
    let values = Amf::decode_all(&message.payload);
    let name = values.first().map_or("", Amf::as_text);
    let transaction = Amf::Number(values.get(1).map_or(0.0, Amf::as_number));
    if let Some(index) = *session {
        shared.sessions()[index].commands.push(name.to_owned());
    }
    match name {
        "connect" => {
            writer.write(2, &control(WINDOW_SIZE, &2_500_000_u32.to_be_bytes()), out);
            writer.write(2, &control(PEER_BANDWIDTH, &[0, 0x26, 0x25, 0xa0, 2]), out);
            writer.set_size(4096, out);
            let said = Amf::Object(vec![
                ("level".to_owned(), Amf::text("status")),
                ("code".to_owned(), Amf::text("NetConnection.Connect.Success")),
            ]);
            writer.write(3, &command(0, &[Amf::text("_result"), transaction, Amf::Null, said]), out);
        }
        "createStream" => {
            let values = [Amf::text("_result"), transaction, Amf::Null, Amf::Number(1.0)];
            writer.write(3, &command(0, &values), out);
        }
        "publish" => {
            shared.attempts.fetch_add(1, Ordering::Relaxed);
            if shared.refuse.load(Ordering::Relaxed) {
                writer.write(5, &status("error", "NetStream.Publish.BadName", "this key is not welcome"), out);
                return false;
            }
            let key = values.get(3).map_or("", Amf::as_text).to_owned();
            let mut sessions = shared.sessions();
            *session = Some(sessions.len());
            sessions.push(Session {
                app: "app".to_owned(),
                key,
                began: arrival,
                ended: None,
                records: Vec::new(),
                commands: Vec::new(),
                machine_was_late: Duration::ZERO,
            });
            writer.write(5, &status("status", "NetStream.Publish.Start", "go ahead"), out);
        }
        "deleteStream" | "closeStream" => {
            // The publisher closes the connection itself.
            if let Some(index) = session.take() {
                shared.sessions()[index].ended = Some(arrival);
            }
        }
        _ => {}
    }
    true
}
