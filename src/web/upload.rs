//! Files that people send: as the body of a call, or by a form of a page. How long one may take, and what is said of one that is too large, too
//! slow or cut off, is stated once for each kind.

use std::time::Duration;

use axum::{
    extract::{FromRequest, Multipart, Request, multipart::MultipartError},
    http::StatusCode,
};
use bytes::Bytes;
use tokio::time::timeout;

use super::problem::{Kind, Problem};

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

impl Upload {
    /// The body of a call.
    ///
    /// # Errors
    /// When it is too large, too slow, or did not arrive whole.
    pub(crate) async fn body(&self, request: Request) -> Result<Bytes, Problem> {
        match timeout(self.time, Bytes::from_request(request, &())).await {
            Ok(Ok(file)) => Ok(file),
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
        let in_time = timeout(self.time, fields).await;
        in_time.unwrap_or_else(|_| Err(Problem::new(Kind::BodyTooSlow, self.too_slow)))
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
