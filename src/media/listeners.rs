//! Who listens to the programme: players of `/program.flv`, each of which gets an FLV stream of its own that begins at time 0 with a key
//! frame; and followers, which get the tags themselves.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;

use super::tag::{Entrance, Preroll, Tag};
use crate::core::{flv, frame::MediaTime};

/// How many players there can be.
pub const MAX_PLAYERS: usize = 16;

/// Pieces that wait for a player. One leaves at each tick that brought a frame, so that this is 5 to 8 s; a player for which it is
/// full does not read, and is dropped: its channel closes.
const BACKLOG: usize = 256;

/// Tags that wait for a follower: the whole ring at the beginning, and some seconds more. One for which it is full is dropped.
const TAGS: usize = 8192;

/// Where players come in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ListenerDoor {
    requests: mpsc::Sender<Player>,
    followers: mpsc::Sender<Follower>,
    count: Arc<AtomicUsize>,
}

impl ListenerDoor {
    /// A player: an FLV file's header and configuration, then tags from the last key frame on, or sound alone until one comes. The channel closes when the player
    /// does not read, or with the programme. None when there are too many.
    pub fn add(&self) -> Option<mpsc::Receiver<Bytes>> {
        let place = Place::take(&self.count)?;
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let player = Player { sender, base: None, last: MediaTime::ZERO, entrance: Entrance::default(), _place: place };
        self.requests.try_send(player).ok()?;
        Some(receiver)
    }

    /// A follower: the headers, the tags from the last key frame on, then everything as it leaves. The channel closes when the
    /// follower does not read, or with the programme. None when there are too many.
    pub(super) fn follow(&self) -> Option<mpsc::Receiver<Tag>> {
        let (sender, receiver) = mpsc::channel(TAGS);
        self.followers.try_send(Follower { sender, begun: false, entrance: Entrance::default() }).ok()?;
        Some(receiver)
    }
}

/// The players, as the pacing thread feeds them.
#[derive(Debug)]
pub struct Listeners {
    requests: mpsc::Receiver<Player>,
    players: Vec<Player>,
    new_followers: mpsc::Receiver<Follower>,
    followers: Vec<Follower>,
}

/// One of `MAX_PLAYERS` places, given back when it is dropped.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < MAX_PLAYERS).then_some(count + 1))
            .is_ok()
            .then(|| Self(count.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
struct Player {
    sender: mpsc::Sender<Bytes>,
    /// Programme time of its first tag; none before that.
    base: Option<MediaTime>,
    last: MediaTime,
    entrance: Entrance,
    _place: Place,
}

impl Listeners {
    /// No players yet, and the door for them.
    pub fn new() -> (ListenerDoor, Self) {
        let (requests, receiver) = mpsc::channel(MAX_PLAYERS);
        let (followers, new_followers) = mpsc::channel(4);
        let door = ListenerDoor { requests, followers, count: Arc::default() };
        (door, Self { requests: receiver, players: Vec::new(), new_followers, followers: Vec::new() })
    }

    /// Sends what left the programme since the last call. To be called at each tick, also with nothing. `preroll` is the
    /// programme's ring after `batch` was added to it. Never blocks.
    pub fn push(&mut self, batch: &[Tag], preroll: &Preroll) {
        while let Ok(player) = self.requests.try_recv() {
            self.players.push(player);
        }
        self.players.retain_mut(|player| player.push(batch, preroll));
        while let Ok(follower) = self.new_followers.try_recv() {
            self.followers.push(follower);
        }
        self.followers.retain_mut(|follower| follower.push(batch, preroll));
    }
}

/// One that makes its own of the tags.
#[derive(Debug)]
struct Follower {
    sender: mpsc::Sender<Tag>,
    begun: bool,
    entrance: Entrance,
}

impl Follower {
    /// False when the follower is gone or does not read.
    fn push(&mut self, batch: &[Tag], preroll: &Preroll) -> bool {
        let send = |tag: &Tag| !self.entrance.admits(tag) || self.sender.try_send(tag.clone()).is_ok();
        if self.begun {
            return !self.sender.is_closed() && batch.iter().all(send);
        }
        // The ring is sound alone for as long as a group of pictures is too large or too long for it.
        self.begun = preroll.tags.front().is_some_and(|tag| tag.keyframe);
        !self.begun || preroll.headers.iter().chain(&preroll.tags).all(send)
    }
}

impl Player {
    /// False when the player is gone or does not read.
    fn push(&mut self, batch: &[Tag], preroll: &Preroll) -> bool {
        let mut piece = BytesMut::new();
        if self.base.is_some() {
            self.write(&mut piece, batch.iter());
        } else if let Some((base, tags)) = preroll.beginning() {
            self.base = Some(base);
            piece.put(flv::file_header(true, true));
            self.write(&mut piece, tags);
        }
        if piece.is_empty() { !self.sender.is_closed() } else { self.sender.try_send(piece.freeze()).is_ok() }
    }

    fn write<'a>(&mut self, piece: &mut BytesMut, tags: impl Iterator<Item = &'a Tag>) {
        let base = self.base.unwrap_or_default();
        for tag in tags {
            if !self.entrance.admits(tag) {
                continue;
            }
            self.last = self.last.max(tag.time - base);
            piece.put(flv::tag(tag.kind as u8, tag.stamp(self.last), &tag.body));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::media::tag::TagKind;

    fn tag(kind: TagKind, millis: i64, keyframe: bool, header: bool) -> Tag {
        Tag { kind, time: MediaTime::from_millis(millis), keyframe, header, body: Bytes::from_static(b"body") }
    }

    fn ring() -> Preroll {
        Preroll {
            headers: vec![tag(TagKind::Script, 90_000, false, true), tag(TagKind::Video, 90_000, false, true)],
            tags: [
                tag(TagKind::Video, 100_000, true, false),
                tag(TagKind::Audio, 100_010, false, false),
                tag(TagKind::Video, 100_040, false, false),
            ]
            .into(),
        }
    }

    /// Kind and time of each tag of an FLV stream.
    fn tags(mut stream: &[u8]) -> Vec<(u8, u32)> {
        let mut found = Vec::new();
        while stream.len() >= 15 {
            let size = usize::from(stream[1]) << 16 | usize::from(stream[2]) << 8 | usize::from(stream[3]);
            found.push((stream[0], u32::from_be_bytes([stream[7], stream[4], stream[5], stream[6]])));
            stream = &stream[size + 15..];
        }
        assert!(stream.is_empty());
        found
    }

    #[test]
    fn player_begins_at_time_zero_with_headers_and_the_last_key_frame() {
        let (door, mut listeners) = Listeners::new();
        let mut player = door.add().unwrap();
        listeners.push(&[], &Preroll::default());
        assert!(player.try_recv().is_err(), "nothing to show yet");
        listeners.push(&[], &ring());
        let first = player.try_recv().unwrap();
        assert_eq!(&first[..3], b"FLV");
        assert_eq!(tags(&first[13..]), [(18, 0), (9, 0), (9, 0), (8, 10), (9, 40)]);
        listeners.push(&[tag(TagKind::Video, 100_080, false, false)], &ring());
        assert_eq!(tags(&player.try_recv().unwrap()), [(9, 80)]);
    }

    #[test]
    fn player_where_nothing_can_be_entered_hears_sound_until_a_key_frame_comes() {
        let (door, mut listeners) = Listeners::new();
        let mut player = door.add().unwrap();
        let alone = Preroll { tags: [tag(TagKind::Audio, 100_010, false, false)].into(), ..ring() };
        listeners.push(&[], &alone);
        assert_eq!(tags(&player.try_recv().unwrap()[13..]), [(18, 0), (9, 0), (8, 0)]);
        let batch = [
            tag(TagKind::Video, 100_020, false, false),
            tag(TagKind::Audio, 100_031, false, false),
            tag(TagKind::Video, 100_060, true, false),
            tag(TagKind::Video, 100_100, false, false),
        ];
        listeners.push(&batch, &alone);
        assert_eq!(tags(&player.try_recv().unwrap()), [(8, 21), (9, 50), (9, 90)]);
    }

    #[test]
    fn player_that_does_not_read_is_dropped_and_its_place_is_free_again() {
        let (door, mut listeners) = Listeners::new();
        let mut slow = door.add().unwrap();
        let mut others: Vec<_> = (1..MAX_PLAYERS).map(|_| door.add().unwrap()).collect();
        assert!(door.add().is_none(), "there can be {MAX_PLAYERS}");
        for millis in 0..=i64::try_from(BACKLOG).unwrap() {
            listeners.push(&[tag(TagKind::Video, 100_080 + millis, false, false)], &ring());
            for other in &mut others {
                assert!(other.try_recv().is_ok());
            }
        }
        let mut kept = 0;
        while slow.try_recv().is_ok() {
            kept += 1;
        }
        assert_eq!(kept, BACKLOG);
        assert!(matches!(slow.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(door.add().is_some());
    }

    #[test]
    fn player_that_left_is_forgotten_at_the_next_tick() {
        let (door, mut listeners) = Listeners::new();
        drop(door.add().unwrap());
        listeners.push(&[], &Preroll::default());
        assert!(listeners.players.is_empty());
    }
}
