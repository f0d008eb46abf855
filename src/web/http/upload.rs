//! Files that people send: as the body of a call, or by a form of a page. How long one may take, and what is said of one that is too large, too
//! slow or cut off, is stated once for each kind.

use std::time::Duration;

use axum::{
    extract::{FromRequest, Multipart, Request, multipart::MultipartError},
    http::StatusCode,
};
use bytes::Bytes;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::problem::{Kind, Problem};
use crate::{store::backup, update};

/// One kind of file.
#[derive(Debug)]
pub(crate) struct Upload {
    /// What it is called in sentences: `the backup`.
    pub(crate) name: &'static str,
    /// Its field in the page's form.
    pub(crate) field: &'static str,
    /// How long it may take to arrive.
    pub(crate) time: Duration,
    /// The most it may be, in bytes.
    pub(crate) largest: usize,
    /// What is said of one that is too large.
    pub(crate) too_large: &'static str,
    /// What is said of one that takes too long.
    pub(crate) too_slow: &'static str,
}

/// The venue's picture for the slate: 8 MB over a poor Wi-Fi.
pub(crate) const SLATE: Upload = Upload {
    name: "the picture",
    field: "picture",
    time: Duration::from_mins(1),
    largest: 8 * 1024 * 1024,
    too_large: "a picture may be 8 MB at most; save it smaller",
    too_slow: "the picture took more than a minute to arrive",
};

/// A backup.
pub(crate) const BACKUP: Upload = Upload {
    name: "the backup",
    field: "backup",
    time: Duration::from_mins(2),
    largest: backup::LARGEST,
    too_large: "a backup is 32 MB at most; this is another file",
    too_slow: "the backup took more than two minutes to arrive",
};

/// The largest body with an update in it.
#[expect(clippy::cast_possible_truncation, reason = "512 MB")]
pub(crate) const LARGEST_UPDATE: usize = update::LARGEST as usize + FORM;

/// The largest body with a file's name in it.
pub(crate) const SMALL: usize = 16 * 1024;

/// So many files are in memory at once, from their first byte until what they are for is done: two backups are 64 MB.
static PLACES: Semaphore = Semaphore::const_new(2);

/// How long a file waits for its place.
const WAITS: Duration = Duration::from_secs(8);

/// A file in its place.
struct Placed {
    file: Bytes,
    _place: SemaphorePermit<'static>,
}

impl AsRef<[u8]> for Placed {
    fn as_ref(&self) -> &[u8] {
        &self.file
    }
}

/// What a form has besides its file, at most.
const FORM: usize = 64 * 1024;

impl Upload {
    /// The body of a call.
    ///
    /// # Errors
    /// When it is too large, too slow, or did not arrive whole.
    pub(crate) async fn body(&self, request: Request) -> Result<Bytes, Problem> {
        let place = self.place().await?;
        match timeout(self.time, Bytes::from_request(request, &())).await {
            Ok(Ok(file)) => Ok(Bytes::from_owner(Placed { file, _place: place })),
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(self.too_large()),
            Ok(Err(_)) => Err(Problem::new(Kind::BadRequest, format!("{} did not arrive whole", self.name))),
            Err(_) => Err(Problem::new(Kind::BodyTooSlow, self.too_slow)),
        }
    }

    /// The file of a form, empty if none was chosen, and the text of another field, if the form has it.
    ///
    /// # Errors
    /// When it is no such form, or it is too large, too slow, or did not arrive whole.
    pub(crate) async fn form(&self, request: Request, text: Option<&str>) -> Result<(Bytes, Option<String>), Problem> {
        let place = self.place().await?;
        let broken = |error: MultipartError| broken(&error, self.too_large);
        let fields = async {
            let mut form = fields(request).await?;
            let (mut file, mut other) = (Bytes::new(), None);
            while let Some(field) = form.next_field().await.map_err(broken)? {
                if field.name() == Some(self.field) {
                    file = field.bytes().await.map_err(broken)?;
                } else if text.is_some() && field.name() == text {
                    other = Some(field.text().await.map_err(broken)?);
                }
            }
            if file.len() > self.largest { Err(self.too_large()) } else { Ok((file, other)) }
        };
        let placed = |(file, other)| (Bytes::from_owner(Placed { file, _place: place }), other);
        let in_time = timeout(self.time, fields).await;
        in_time.unwrap_or_else(|_| Err(Problem::new(Kind::BodyTooSlow, self.too_slow))).map(placed)
    }

    /// A place in memory. Nothing of the file is read before it has one.
    async fn place(&self) -> Result<SemaphorePermit<'static>, Problem> {
        let busy = || {
            let detail = format!("other files are being taken in just now: send {} again in a moment", self.name);
            Problem::new(Kind::Busy, detail).retry_after(WAITS)
        };
        match timeout(WAITS, PLACES.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// The largest form with such a file in it.
    pub(crate) const fn largest_form(&self) -> usize {
        self.largest + FORM
    }

    fn too_large(&self) -> Problem {
        Problem::new(Kind::BodyTooLarge, self.too_large)
    }
}

/// A form with files, field by field: for one that is larger than memory.
///
/// # Errors
/// When the request is none.
pub(crate) async fn fields(request: Request) -> Result<Multipart, Problem> {
    let form = Multipart::from_request(request, &()).await;
    form.map_err(|_| Problem::new(Kind::BadRequest, "this address takes what its page's form sends"))
}

/// What is wrong with a form that breaks off; `too_large` says it of one that is larger than its address takes.
pub(crate) fn broken(error: &MultipartError, too_large: &str) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Kind::BodyTooLarge, too_large),
        _ => Problem::new(Kind::BadRequest, "the form did not arrive whole"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn third_file_at_once_is_not_read_and_told_to_come_again() {
        let places = (SLATE.place().await.ok(), BACKUP.place().await.ok());
        assert!(places.0.is_some() && places.1.is_some());
        let refused = SLATE.body(Request::new("a picture".into())).await.unwrap_err();
        assert_eq!(refused.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(places);
        let file = SLATE.body(Request::new("a picture".into())).await.unwrap();
        assert_eq!(
            (&file[..], PLACES.available_permits()),
            (&b"a picture"[..], 1),
            "it has its place while it is used"
        );
        drop(file);
        assert_eq!(PLACES.available_permits(), 2);
    }
}
