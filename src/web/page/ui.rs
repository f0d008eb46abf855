//! Small pieces for templates. In a template: `{{ ui::icon("mic") }}`.

use std::fmt::{self, Write as _};

use askama::{FastWritable, Values, filters::HtmlSafe};
use qrcode::{Color, EcLevel, QrCode};

use super::assets;
use crate::core::moment::Moment;

/// HTML that was made here, of parts that are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Html(String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Html {}

impl FastWritable for Html {
    fn write_into(&self, dest: &mut dyn fmt::Write, _values: &dyn Values) -> askama::Result<()> {
        dest.write_str(&self.0).map_err(askama::Error::from)
    }
}

/// An icon of the sprite (`web/assets/icons.svg`), for the eye only: its meaning stands beside it in words. `name` is always a
/// literal in a template, and a test looks for names that the sprite lacks.
pub(crate) fn icon(name: &'static str) -> Html {
    Html(format!(
        r#"<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{name}"></use></svg>"#,
        assets::url("icons.svg")
    ))
}

/// A QR code as a drawing that takes its size from the page. Error correction M: a hand or a reflection may hide a seventh.
/// Nothing when the text is too long for one (2,331 bytes).
pub(crate) fn qr(text: &str) -> Html {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else {
        return Html(String::new());
    };
    let width = code.width();
    let colours = code.to_colors();
    let mut path = String::new();
    for (y, row) in colours.chunks(width).enumerate() {
        let mut x = 0;
        while x < width {
            let run = row.iter().skip(x).take_while(|colour| **colour == Color::Dark).count();
            if run > 0 {
                // Writing into a String does not fail.
                let _ = write!(path, "M{x} {y}h{run}v1h-{run}z");
            }
            x += run.max(1);
        }
    }
    // Four light modules around it are part of the code.
    let side = width + 8;
    Html(format!(
        r#"<svg class="qr" viewBox="-4 -4 {side} {side}" shape-rendering="crispEdges" aria-hidden="true" focusable="false"><path class="qr-light" d="M-4 -4h{side}v{side}h-{side}z"/><path class="qr-dark" d="{path}"/></svg>"#
    ))
}

/// How loudly a radio network is heard, of 100, in four steps.
const fn steps(signal: u8) -> usize {
    match signal {
        ..25 => 1,
        25..50 => 2,
        50..75 => 3,
        _ => 4,
    }
}

/// The same as bars, for the eye only: [`loudness`] says it.
pub(crate) fn bars(signal: u8) -> Html {
    let bars = (1..=4).map(|step| {
        let class = if step <= steps(signal) { r#" class="bars-on""# } else { "" };
        let (x, y, height) = (step * 5 - 4, 16 - step * 4, step * 4);
        format!(r#"<rect{class} x="{x}" y="{y}" width="4" height="{height}" rx="1"/>"#)
    });
    Html(format!(
        r#"<svg class="bars" viewBox="0 0 21 16" aria-hidden="true" focusable="false">{}</svg>"#,
        bars.collect::<String>()
    ))
}

/// How loudly a radio network is heard, in words.
pub(crate) fn loudness(signal: u8) -> &'static str {
    match steps(signal) {
        1 => "Very weak",
        2 => "Weak",
        3 => "Good",
        _ => "Strong",
    }
}

/// How long a name is, for its size on a stage: the widest word decides whether it fits a line.
pub(crate) fn length(name: &str) -> &'static str {
    let longest = name.split_whitespace().map(|word| word.chars().count()).max().unwrap_or_default();
    match (longest, name.chars().count()) {
        (..=10, ..=16) => "short",
        (..=14, ..=24) => "long",
        _ => "longer",
    }
}

/// A moment of the box's monotonic clock in milliseconds.
pub(crate) fn milliseconds(moment: Moment) -> u64 {
    u64::try_from(moment.since_start().as_millis()).unwrap_or(u64::MAX)
}

/// A length of time as a clock shows it: `4:05`, `1:00:09`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
pub(crate) fn clock(seconds: f64) -> String {
    // Rounded up: the last second that is shown is 0:01, and 0:00 means over.
    let seconds = seconds.ceil().clamp(0.0, 1e9) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Kilobits per second as people read them, in steps that do not flicker.
pub(crate) fn rate(kbps: f64) -> String {
    if kbps >= 1000.0 {
        format!("{:.1} Mbit/s", kbps / 1000.0)
    } else {
        format!("{:.0} kbit/s", (kbps / 10.0).round() * 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_shows_what_is_left_rounded_up() {
        for (seconds, text) in
            [(0.0, "0:00"), (-3.0, "0:00"), (0.2, "0:01"), (65.0, "1:05"), (3599.5, "1:00:00"), (36_610.0, "10:10:10")]
        {
            assert_eq!(clock(seconds), text);
        }
    }

    #[test]
    fn rate_is_in_the_unit_that_fits() {
        for (kbps, text) in [(0.0, "0 kbit/s"), (163.4, "160 kbit/s"), (4096.0, "4.1 Mbit/s")] {
            assert_eq!(rate(kbps), text);
        }
    }

    #[test]
    fn bars_and_words_say_the_same() {
        for (signal, on, words) in
            [(0, 1, "Very weak"), (24, 1, "Very weak"), (49, 2, "Weak"), (74, 3, "Good"), (100, 4, "Strong")]
        {
            assert_eq!(bars(signal).to_string().matches("bars-on").count(), on, "{signal}");
            assert_eq!(loudness(signal), words);
        }
    }

    #[test]
    fn qr_code_is_a_drawing_and_too_much_text_is_none() {
        let code = qr("http://192.168.1.7/register").to_string();
        assert!(code.starts_with("<svg class=\"qr\" viewBox=\"-4 -4 "), "{code}");
        assert!(!code.contains("style"), "{code}");
        assert_eq!(qr(&"x".repeat(5000)).to_string(), "");
    }
}
