//! The slate's picture: drawn from a template with the venue's name, or the venue's own file.

use std::{
    fs,
    io::{Cursor, Read as _},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use image::{
    DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    codecs::jpeg::JpegEncoder, imageops::FilterType, metadata::Orientation,
};
use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{
        self, Node, Options, Tree,
        fontdb::{Database, FaceInfo, Style, Weight},
    },
};

use super::format::{COLUMNS, HEIGHT, ROWS, SlateError, WIDTH};

/// The picture, but for the name.
const TEMPLATE: &str = include_str!("slate.svg");

/// What the slate says.
const MESSAGE: &str = "back in a moment";

/// The name's font sizes in pixels: one line down to [`MIDDLE`], then two lines down to [`SMALLEST`], then cut short.
const LARGEST: f32 = 104.0;
const MIDDLE: f32 = 64.0;
const SMALLEST: f32 = 46.0;

/// Where the name ends on either side: a tenth of the picture is left free, as on any title.
const WIDEST: f32 = 1040.0;

/// Longer names are cut before anything is measured.
const LONGEST_NAME: usize = 120;

/// The largest file that is read.
const MAX_BYTES: u64 = 20 * 1024 * 1024;

/// The largest width and height that are decoded: 24-megapixel cameras' pictures, 96 MB for a moment.
const MAX_SIDE: u32 = 6000;

/// The most that a picture may be when it is decoded, whatever its file says of itself: it is judged by its header, before.
const MAX_MEMORY: u64 = 120 * 1024 * 1024;

/// Red, green, blue of every pixel, row by row.
pub(super) type Pixels = Vec<[u8; 3]>;

/// A picture, and the row around which the accent line breathes, if it has one.
#[derive(Debug)]
pub(super) struct Drawing {
    pub(super) pixels: Pixels,
    pub(super) accent: Option<usize>,
}

/// What a picture file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureKind {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
}

/// The built-in picture with the venue's name.
pub(super) fn built_in(venue: &str) -> Result<Drawing, SlateError> {
    let mut writer = Writer::new()?;
    let name = writer.printable(&clean(venue));
    let (lines, size) = writer.fit(&name);
    // One block, centred: the name's lines, the accent, the message.
    let leading = size * 1.16;
    let above = size * 0.74 + leading * (lines.len().saturating_sub(1)) as f32;
    let top = if lines.is_empty() { 340.0 } else { 291.0 - above / 2.0 };
    let headline: Vec<String> = (0_u8..)
        .zip(&lines)
        .map(|(number, line)| {
            let baseline = top + size * 0.74 + leading * f32::from(number);
            let line = escape(line);
            format!(r##"<text x="640" y="{baseline:.1}" font-size="{size:.1}" fill="#f5f2ec">{line}</text>"##)
        })
        .collect();
    let accent = if lines.is_empty() { 408.0 } else { top + above + 58.0 };
    let (message, tone, message_size) =
        if lines.is_empty() { (340.0 + 30.0, "#f5f2ec", 72.0) } else { (accent + 80.0, "#a7afc0", 38.0) };
    let caption = format!(
        r#"<text x="640" y="{message:.1}" font-size="{message_size}" letter-spacing="0.6" fill="{tone}">{MESSAGE}</text>"#
    );
    let picture = TEMPLATE
        .replace("{line}", &format!("{accent:.1}"))
        .replace("{headline}", &headline.concat())
        .replace("{caption}", &caption);
    let tree = writer.parse(&picture)?;
    let mut canvas = Pixmap::new(COLUMNS.into(), ROWS.into())
        .ok_or_else(|| SlateError::Encode("there is no memory for a picture".to_owned()))?;
    resvg::render(&tree, Transform::identity(), &mut canvas.as_mut());
    let (written, _) = canvas.data().as_chunks::<4>();
    let mut dice = Dice(0x9e37_79b9);
    let pixels = light().zip(written).map(|(below, above)| over(below, *above, &mut dice)).collect();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a row of the picture")]
    let accent = Some(accent as usize);
    Ok(Drawing { pixels, accent })
}

/// The venue's own file, scaled to fit, on black.
pub(super) fn own(file: &Path) -> Result<Drawing, SlateError> {
    let bad = |reason: String| SlateError::Picture { file: file.to_owned(), reason };
    let picture = decode(&read(file).map_err(bad)?).map_err(|error| bad(error.to_string()))?;
    Ok(on_black(&picture))
}

/// A picture no larger than the slate, in its middle.
fn on_black(picture: &DynamicImage) -> Drawing {
    let (width, height) = (u32::from(COLUMNS), u32::from(ROWS));
    let mut canvas = image::RgbaImage::from_pixel(width, height, image::Rgba([0, 0, 0, 255]));
    let (left, top) = (width.saturating_sub(picture.width()) / 2, height.saturating_sub(picture.height()) / 2);
    image::imageops::overlay(&mut canvas, &picture.to_rgba8(), left.into(), top.into());
    let pixels = canvas.pixels().map(|&image::Rgba([red, green, blue, _])| [red, green, blue]).collect();
    Drawing { pixels, accent: None }
}

/// A picture's file, within the limit.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    each_piece(file, |piece| bytes.extend_from_slice(piece))?;
    Ok(bytes)
}

/// Goes through a picture's file without holding it, within the limit.
pub(super) fn each_piece(file: &Path, mut take: impl FnMut(&[u8])) -> Result<(), String> {
    let mut file = fs::File::open(file).map_err(|error| error.to_string())?;
    let (mut buffer, mut total) = (vec![0; 64 << 10], 0);
    loop {
        let count = file.read(&mut buffer).map_err(|error| error.to_string())?;
        total += count as u64;
        if total > MAX_BYTES {
            return Err(format!("it is larger than {} MB", MAX_BYTES / 1024 / 1024));
        }
        match buffer.get(..count) {
            Some(piece) if !piece.is_empty() => take(piece),
            _ => return Ok(()),
        }
    }
}

/// A picture that can be the slate's.
#[derive(Debug)]
pub struct Fitted {
    /// What it is to be kept as.
    pub kind: PictureKind,
    /// The same in as many pixels as the slate has; none for one that has no more.
    pub smaller: Option<Vec<u8>>,
}

/// See [`super::fit`].
pub(super) fn fit(file: &[u8]) -> Result<Fitted, String> {
    let kind = match image::guess_format(file) {
        Ok(ImageFormat::Png) => PictureKind::Png,
        Ok(ImageFormat::Jpeg) => PictureKind::Jpeg,
        _ => return Err("it is neither a PNG nor a JPEG".to_owned()),
    };
    let failed = |error: ImageError| match error {
        ImageError::Limits(_) => format!("it is too large; {MAX_SIDE} pixels a side are enough for anything"),
        error => format!("it is damaged ({error})"),
    };
    let (width, height) = open(file).map_err(failed)?.dimensions();
    let picture = decode(file).map_err(failed)?;
    if width <= u32::from(COLUMNS) && height <= u32::from(ROWS) {
        return Ok(Fitted { kind, smaller: None });
    }
    let mut smaller = Cursor::new(Vec::new());
    picture.write_to(&mut smaller, ImageFormat::Png).map_err(failed)?;
    Ok(Fitted { kind: PictureKind::Png, smaller: Some(smaller.into_inner()) })
}

/// As a picture file.
pub(super) fn jpeg(drawing: &Drawing) -> Result<Bytes, SlateError> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 88)
        .encode(drawing.pixels.as_flattened(), COLUMNS.into(), ROWS.into(), ExtendedColorType::Rgb8)
        .map_err(|error| SlateError::Encode(error.to_string()))?;
    Ok(file.into())
}

/// Reads a picture's header, and refuses what would be too large when it is decoded.
fn open(bytes: &[u8]) -> image::ImageResult<impl ImageDecoder> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    reader.limits(limits.clone());
    let decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    Ok(decoder)
}

/// A picture, made as small as the slate if it is larger, and turned as it was taken.
fn decode(bytes: &[u8]) -> image::ImageResult<DynamicImage> {
    let mut decoder = open(bytes)?;
    // Telephones write down how they were held instead of turning the picture.
    let orientation = decoder.orientation()?;
    let lies = matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let picture = DynamicImage::from_decoder(decoder)?;
    let (columns, rows) = if lies { (ROWS, COLUMNS) } else { (COLUMNS, ROWS) };
    let mut picture = scale(picture, columns.into(), rows.into());
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Scales a picture to fit into so many pixels. One that is much larger is made smaller in whole pixels first: what is good for the last
/// step takes 16 bytes for each pixel on its way.
fn scale(picture: DynamicImage, columns: u32, rows: u32) -> DynamicImage {
    let fits = picture.width() == columns && picture.height() <= rows
        || picture.height() == rows && picture.width() <= columns;
    if fits {
        return picture;
    }
    let picture = if picture.width() > columns * 3 || picture.height() > rows * 3 {
        picture.thumbnail(columns * 2, rows * 2)
    } else {
        picture
    };
    picture.resize(columns, rows, FilterType::CatmullRom)
}

/// Keeps what can be shown on a line, in at most [`LONGEST_NAME`] characters.
fn clean(name: &str) -> String {
    let words: Vec<String> = name
        .split_whitespace()
        .map(|word| {
            word.chars().filter(|&char| !char.is_control() && !matches!(char, '\u{fffe}' | '\u{ffff}')).collect()
        })
        .filter(|word: &String| !word.is_empty())
        .collect();
    words.join(" ").chars().take(LONGEST_NAME).collect()
}

/// As text in XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Measures and sets text, in the font that is built in; where that has no letter for the name, also in the system's.
struct Writer {
    options: Options<'static>,
}

impl Writer {
    fn new() -> Result<Self, SlateError> {
        let mut fonts = Database::new();
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        let family = fonts.faces().next().and_then(|face| face.families.first()).map(|(family, _)| family.clone());
        let family = family.ok_or_else(|| SlateError::Encode("the built-in font cannot be read".to_owned()))?;
        fonts.set_serif_family(family.clone());
        let options = Options { font_family: family, fontdb: Arc::new(fonts), ..Options::default() };
        Ok(Self { options })
    }

    fn parse(&self, picture: &str) -> Result<Tree, SlateError> {
        Tree::from_str(picture, &self.options)
            .map_err(|error| SlateError::Encode(format!("the picture is no SVG: {error}")))
    }

    /// The width of `text` at a size of 100 pixels, and the parts of it that no font has.
    fn measure(&self, text: &str) -> (f32, Vec<String>) {
        let picture = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text id="t" font-weight="300" font-size="100">{}</text></svg>"#,
            escape(text)
        );
        let tree = self.parse(&picture).ok();
        let Some(Node::Text(node)) = tree.as_ref().and_then(|tree| tree.node_by_id("t")) else {
            return (0.0, Vec::new());
        };
        let glyphs = node.layouted().iter().flat_map(|span| &span.positioned_glyphs);
        let missing = glyphs.filter(|glyph| glyph.id == usvg::GlyphId(0)).map(|glyph| glyph.text.clone());
        (node.bounding_box().width(), missing.collect())
    }

    /// `name` without what no font can show. Boxes would look broken; a name that is nothing but boxes is left out.
    fn printable(&mut self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        if !self.measure(name).1.is_empty() {
            let fonts = Arc::make_mut(&mut self.options.fontdb);
            fonts.load_system_fonts();
            // The first one that has a letter is taken, so only those that go with the built-in one are left.
            let odd = |face: &&FaceInfo| face.style != Style::Normal || face.weight > Weight::NORMAL;
            for id in fonts.faces().filter(odd).map(|face| face.id).collect::<Vec<_>>() {
                fonts.remove_face(id);
            }
        }
        let missing = self.measure(name).1.concat();
        clean(&name.chars().filter(|&char| !missing.contains(char)).collect::<String>())
    }

    /// The lines in which `name` is set, and their size.
    fn fit(&self, name: &str) -> (Vec<String>, f32) {
        if name.is_empty() {
            return (Vec::new(), LARGEST);
        }
        let size = |line: &str| WIDEST / self.measure(line).0.max(1.0) * 100.0;
        let whole = size(name);
        if whole >= MIDDLE {
            return (vec![name.to_owned()], whole.min(LARGEST));
        }
        let halves = |name: &str| {
            let (first, second) = halve(name);
            let both = size(&first).min(size(&second)).min(MIDDLE + 12.0);
            (vec![first, second], both)
        };
        let (lines, both) = halves(name);
        if both >= SMALLEST {
            return (lines, both);
        }
        // The longest beginning that fits.
        let chars: Vec<char> = name.chars().collect();
        let cut = |length: usize| {
            let beginning: String = chars.iter().take(length).collect();
            halves(&format!("{}…", beginning.trim_end()))
        };
        let (mut fits, mut too_long) = (1, chars.len());
        while fits + 1 < too_long {
            let middle = usize::midpoint(fits, too_long);
            if cut(middle).1 >= SMALLEST { fits = middle } else { too_long = middle }
        }
        cut(fits)
    }
}

/// Two lines of about the same length, at a space where there is one near the middle.
fn halve(name: &str) -> (String, String) {
    let middle = name.chars().count() / 2;
    let space = name
        .chars()
        .enumerate()
        .filter(|&(_, char)| char == ' ')
        .map(|(index, _)| index)
        .min_by_key(|index| index.abs_diff(middle))
        .filter(|index| index.abs_diff(middle) <= middle / 2);
    let at = space.unwrap_or(middle);
    let (first, second): (String, String) = (name.chars().take(at).collect(), name.chars().skip(at).collect());
    (first.trim().to_owned(), second.trim().to_owned())
}

/// The light behind the text, row by row: a cool glow in the middle, a warm one from below. In fractions of levels, because
/// whole ones show as bands in the dark.
fn light() -> impl Iterator<Item = [f32; 3]> {
    const DARK: [f32; 3] = [11.0, 14.0, 21.0];
    const COOL: [f32; 3] = [25.0, 31.0, 44.0];
    const WARM: [f32; 3] = [26.0, 16.0, 5.0];
    (0..HEIGHT).flat_map(|row| (0..WIDTH).map(move |column| (column as f32, row as f32))).map(|(x, y)| {
        let glow = |(left, top): (f32, f32), (across, down): (f32, f32)| {
            let distance = ((x - left) / across).powi(2) + ((y - top) / down).powi(2);
            (-2.2 * distance).exp()
        };
        let cool = glow((640.0, 340.0), (820.0, 620.0));
        let warm = glow((640.0, 780.0), (900.0, 330.0));
        let mut levels = DARK;
        for ((level, of_cool), of_warm) in levels.iter_mut().zip(COOL).zip(WARM) {
            *level += cool * of_cool + warm * of_warm;
        }
        levels
    })
}

/// To the nearest level.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte's range")]
pub(super) fn level(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// A drawn pixel (its colours multiplied by its opacity) over the light, with a grain of less than one level, the same on
/// each run, which turns the fractions into whole levels without bands.
fn over(below: [f32; 3], [red, green, blue, opacity]: [u8; 4], dice: &mut Dice) -> [u8; 3] {
    let clear = 1.0 - f32::from(opacity) / 255.0;
    let grain = dice.throw() + dice.throw() - 1.0;
    let mut pixel = [red, green, blue];
    for (channel, below) in pixel.iter_mut().zip(below) {
        *channel = level(f32::from(*channel) + below * clear + grain);
    }
    pixel
}

/// Numbers from 0 to 1 that look random.
struct Dice(u32);

impl Dice {
    fn throw(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as f32 / u32::MAX as f32
    }
}
