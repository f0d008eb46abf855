//! AMF0, the notation of RTMP's commands and FLV's script data (Adobe's "Action Message Format - AMF 0"), and AMF3, which may stand
//! inside it ("Action Message Format - AMF 3").
//!
//! Values come from strangers: depth, number and size are bounded, and nothing here panics or allocates ahead of what was sent. What
//! nobody needs to understand is passed over: text that is not UTF-8 is read as far as it is, and a reference to an object is null, so
//! that what refers to itself never unfolds.

use bytes::{BufMut, BytesMut};
use thiserror::Error;

/// Objects inside objects; encoders send two levels.
const MAX_DEPTH: usize = 16;

/// Values in one message, counted on all levels; encoders send some thirty.
const MAX_VALUES: usize = 1024;

/// Bytes of one string. OBS's longest is a URL; nothing an encoder says is longer.
const MAX_STRING: usize = 8 * 1024;

/// Markers (section 2.1).
mod marker {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const REFERENCE: u8 = 7;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const XML: u8 = 15;
    pub(super) const TYPED_OBJECT: u8 = 16;
    pub(super) const AMF3: u8 = 17;
}

/// AMF3's markers (AMF 3, section 3.1).
mod marker3 {
    pub(super) const UNDEFINED: u8 = 0;
    pub(super) const NULL: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const INTEGER: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const STRING: u8 = 6;
    pub(super) const XML_DOCUMENT: u8 = 7;
    pub(super) const DATE: u8 = 8;
    pub(super) const ARRAY: u8 = 9;
    pub(super) const OBJECT: u8 = 10;
    pub(super) const XML: u8 = 11;
    pub(super) const BYTE_ARRAY: u8 = 12;
    pub(super) const VECTOR_INT: u8 = 13;
    pub(super) const VECTOR_UINT: u8 = 14;
    pub(super) const VECTOR_DOUBLE: u8 = 15;
    pub(super) const VECTOR_OBJECT: u8 = 16;
    pub(super) const DICTIONARY: u8 = 17;
}

/// Why a message is no AMF0 that is taken here.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AmfError {
    /// It ends inside a value.
    #[error("the message ends inside a value")]
    Truncated,
    /// A marker that is none, or one of a form that only its application can read.
    #[error("values of type {0} are not supported")]
    Marker(u8),
    /// Too deep, too many or too long.
    #[error("the message is nested too deep or has too many or too long values")]
    TooLarge,
}

/// A value as AMF0 has it; types that the box treats alike are one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number; AMF0 has no integers.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A string, long string or XML document.
    String(String),
    /// An object, typed object or ECMA array, in the order in which it was sent.
    Object(Vec<(String, Self)>),
    /// A strict array.
    Array(Vec<Self>),
    /// Milliseconds since 1970.
    Date(f64),
    /// Null, undefined or unsupported; and what nobody reads here: references, bytes, vectors and dictionaries.
    Null,
}

impl Value {
    /// The number, if it is one.
    pub const fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(string) = self { Some(string) } else { None }
    }

    /// The property `name`, if it is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(properties) = self else {
            return None;
        };
        properties.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Reads one value after another from a message.
pub struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
    not_utf8: bool,
    /// What was read of an object that could not be read to its end.
    rescued: Option<Value>,
    /// What AMF3 refers to by number: strings that were sent, and the traits of objects.
    strings: Vec<String>,
    traits: Vec<Traits>,
}

/// The form of AMF3's objects of one class (AMF 3, 3.12).
#[derive(Clone, Debug)]
struct Traits {
    dynamic: bool,
    names: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads `message` from its start.
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, values: 0, not_utf8: false, rescued: None, strings: Vec::new(), traits: Vec::new() }
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether text among what was read is not UTF-8.
    pub const fn not_utf8(&self) -> bool {
        self.not_utf8
    }

    /// The next value.
    ///
    /// # Errors
    ///
    /// When the message ends inside it, or it is of a type or size that is not taken. Nothing can be read behind it then.
    pub fn value(&mut self) -> Result<Value, AmfError> {
        self.nested(0).inspect_err(|_| self.rest = &[])
    }

    /// The next value as far as it can be read.
    ///
    /// # Errors
    ///
    /// As for [`Reader::value`], with what was read: of an object, the properties before the one that is malformed; else null.
    pub fn value_or_part(&mut self) -> Result<Value, (Value, AmfError)> {
        self.value().map_err(|error| (self.rescued.take().unwrap_or(Value::Null), error))
    }

    fn enter(&mut self, depth: usize) -> Result<(), AmfError> {
        self.values += 1;
        if depth >= MAX_DEPTH || self.values > MAX_VALUES { Err(AmfError::TooLarge) } else { Ok(()) }
    }

    fn nested(&mut self, depth: usize) -> Result<Value, AmfError> {
        self.enter(depth)?;
        let [marker] = self.array()?;
        match marker {
            marker::NUMBER => Ok(Value::Number(self.number()?)),
            marker::BOOLEAN => {
                let [flag] = self.array()?;
                Ok(Value::Boolean(flag != 0))
            }
            marker::STRING => Ok(Value::String(self.short_string()?)),
            marker::LONG_STRING | marker::XML => {
                let length = usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_| AmfError::TooLarge)?;
                Ok(Value::String(self.text(length)?))
            }
            marker::OBJECT => self.properties(depth),
            marker::TYPED_OBJECT => {
                self.short_string()?; // the class's name
                self.properties(depth)
            }
            marker::ECMA_ARRAY => {
                // The count is a hint that encoders get wrong; the end marker counts.
                self.array::<4>()?;
                self.properties(depth)
            }
            marker::STRICT_ARRAY => {
                let count = u32::from_be_bytes(self.array()?);
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.nested(depth + 1)?);
                }
                Ok(Value::Array(items))
            }
            marker::DATE => {
                let date = self.number()?;
                self.array::<2>()?; // the time zone, which is reserved
                Ok(Value::Date(date))
            }
            marker::REFERENCE => {
                self.array::<2>()?;
                Ok(Value::Null)
            }
            marker::AMF3 => self.nested3(depth + 1),
            marker::NULL | marker::UNDEFINED | marker::UNSUPPORTED => Ok(Value::Null),
            other => Err(AmfError::Marker(other)),
        }
    }

    fn properties(&mut self, depth: usize) -> Result<Value, AmfError> {
        let mut properties = Vec::new();
        let end = loop {
            let name = match self.short_string() {
                Ok(name) => name,
                Err(error) => break Err(error),
            };
            if name.is_empty() && self.rest.first() == Some(&marker::OBJECT_END) {
                break self.array::<1>().map(drop);
            }
            match self.nested(depth + 1) {
                Ok(value) => properties.push((name, value)),
                Err(error) => break Err(error),
            }
        };
        self.object(depth, properties, end)
    }

    /// An object. When it could not be read to its end, what was read of it is kept: the outermost one's.
    fn object(
        &mut self,
        depth: usize,
        properties: Vec<(String, Value)>,
        end: Result<(), AmfError>,
    ) -> Result<Value, AmfError> {
        let object = Value::Object(properties);
        match end {
            Ok(()) => Ok(object),
            Err(error) => {
                if depth <= 1 {
                    self.rescued = Some(object);
                }
                Err(error)
            }
        }
    }

    /// A value of AMF3.
    fn nested3(&mut self, depth: usize) -> Result<Value, AmfError> {
        self.enter(depth)?;
        let [marker] = self.array()?;
        match marker {
            marker3::UNDEFINED | marker3::NULL => Ok(Value::Null),
            marker3::FALSE => Ok(Value::Boolean(false)),
            marker3::TRUE => Ok(Value::Boolean(true)),
            marker3::INTEGER => {
                // 29 bits with a sign.
                let bits = self.packed()?;
                let number = f64::from(bits);
                Ok(Value::Number(if bits < 1 << 28 { number } else { number - f64::from(1 << 29) }))
            }
            marker3::DOUBLE => Ok(Value::Number(self.number()?)),
            marker3::STRING => Ok(Value::String(self.string3()?)),
            marker3::XML_DOCUMENT | marker3::XML => match self.length()? {
                Some(length) => Ok(Value::String(self.text(length)?)),
                None => Ok(Value::Null),
            },
            marker3::DATE => match self.length()? {
                Some(_) => Ok(Value::Date(self.number()?)),
                None => Ok(Value::Null),
            },
            marker3::ARRAY => {
                let Some(count) = self.length()? else { return Ok(Value::Null) };
                let mut properties = Vec::new();
                loop {
                    let name = self.string3()?;
                    if name.is_empty() {
                        break;
                    }
                    properties.push((name, self.nested3(depth + 1)?));
                }
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(self.nested3(depth + 1)?);
                }
                Ok(if properties.is_empty() { Value::Array(items) } else { Value::Object(properties) })
            }
            marker3::OBJECT => self.object3(depth),
            marker3::BYTE_ARRAY => match self.length()? {
                Some(length) => self.skip(length),
                None => Ok(Value::Null),
            },
            marker3::VECTOR_INT | marker3::VECTOR_UINT => self.vector(4),
            marker3::VECTOR_DOUBLE => self.vector(8),
            marker3::VECTOR_OBJECT => {
                let Some(count) = self.length()? else { return Ok(Value::Null) };
                self.array::<1>()?; // whether its length is fixed
                self.string3()?; // the class's name
                for _ in 0..count {
                    self.nested3(depth + 1)?;
                }
                Ok(Value::Null)
            }
            marker3::DICTIONARY => {
                let Some(count) = self.length()? else { return Ok(Value::Null) };
                self.array::<1>()?; // whether its keys are weak
                for _ in 0..count {
                    self.nested3(depth + 1)?;
                    self.nested3(depth + 1)?;
                }
                Ok(Value::Null)
            }
            other => Err(AmfError::Marker(other)),
        }
    }

    /// AMF3's objects (3.12): the lowest bit says whether it is a reference, the next ones how its traits are told.
    fn object3(&mut self, depth: usize) -> Result<Value, AmfError> {
        let head = self.packed()?;
        if head & 1 == 0 {
            return Ok(Value::Null);
        }
        let traits = if head & 0b10 == 0 {
            let index = usize::try_from(head >> 2).map_err(|_| AmfError::TooLarge)?;
            self.traits.get(index).cloned().ok_or(AmfError::Truncated)?
        } else if head & 0b100 != 0 {
            // Its form is its application's own.
            return Err(AmfError::Marker(marker3::OBJECT));
        } else {
            self.string3()?; // the class's name
            let mut names = Vec::new();
            for _ in 0..head >> 4 {
                // Counted as values: a name can be a reference of one byte.
                self.enter(depth)?;
                names.push(self.string3()?);
            }
            let traits = Traits { dynamic: head & 0b1000 != 0, names };
            self.traits.push(traits.clone());
            traits
        };
        let mut properties = Vec::new();
        let end = self.members(depth, traits, &mut properties);
        self.object(depth, properties, end)
    }

    fn members(&mut self, depth: usize, traits: Traits, properties: &mut Vec<(String, Value)>) -> Result<(), AmfError> {
        for name in traits.names {
            properties.push((name, self.nested3(depth + 1)?));
        }
        if traits.dynamic {
            loop {
                let name = self.string3()?;
                if name.is_empty() {
                    break;
                }
                properties.push((name, self.nested3(depth + 1)?));
            }
        }
        Ok(())
    }

    /// A vector of numbers, each of `size` bytes.
    fn vector(&mut self, size: usize) -> Result<Value, AmfError> {
        let Some(count) = self.length()? else { return Ok(Value::Null) };
        self.array::<1>()?; // whether its length is fixed
        self.skip(count.saturating_mul(size))
    }

    fn skip(&mut self, length: usize) -> Result<Value, AmfError> {
        self.rest = self.rest.get(length..).ok_or(AmfError::Truncated)?;
        Ok(Value::Null)
    }

    /// AMF3's whole numbers: seven bits in each of up to three bytes, eight in a fourth (AMF 3, 1.3.1).
    fn packed(&mut self) -> Result<u32, AmfError> {
        let mut number = 0;
        for _ in 0..3 {
            let [byte] = self.array()?;
            number = (number << 7) | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        let [byte] = self.array()?;
        Ok((number << 8) | u32::from(byte))
    }

    /// A length, or none for a reference to what was sent before.
    fn length(&mut self) -> Result<Option<usize>, AmfError> {
        let head = self.packed()?;
        let length = usize::try_from(head >> 1).map_err(|_| AmfError::TooLarge)?;
        Ok((head & 1 != 0).then_some(length))
    }

    fn string3(&mut self) -> Result<String, AmfError> {
        let head = self.packed()?;
        let number = usize::try_from(head >> 1).map_err(|_| AmfError::TooLarge)?;
        if head & 1 == 0 {
            // The values that are read are few, and so is what they repeat.
            let string = self.strings.get(number).cloned().ok_or(AmfError::Truncated)?;
            self.values += string.len() / 64;
            return Ok(string);
        }
        let string = self.text(number)?;
        if !string.is_empty() {
            self.strings.push(string.clone());
        }
        Ok(string)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(AmfError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn number(&mut self) -> Result<f64, AmfError> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    fn short_string(&mut self) -> Result<String, AmfError> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(usize::from(length))
    }

    fn text(&mut self, length: usize) -> Result<String, AmfError> {
        if length > MAX_STRING {
            return Err(AmfError::TooLarge);
        }
        let (text, rest) = self.rest.split_at_checked(length).ok_or(AmfError::Truncated)?;
        self.rest = rest;
        let text = String::from_utf8_lossy(text);
        self.not_utf8 |= matches!(text, std::borrow::Cow::Owned(_));
        Ok(text.into_owned())
    }
}

/// Appends values to a message. Strings of ours are short: what does not fit 65,535 bytes is cut at a character.
pub struct Writer<'a> {
    out: &'a mut BytesMut,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub const fn new(out: &'a mut BytesMut) -> Self {
        Self { out }
    }

    /// Writes a number.
    pub fn number(&mut self, value: f64) {
        self.out.put_u8(marker::NUMBER);
        self.out.put_f64(value);
    }

    /// Writes true or false.
    pub fn boolean(&mut self, value: bool) {
        self.out.put_slice(&[marker::BOOLEAN, u8::from(value)]);
    }

    /// Writes a string.
    pub fn string(&mut self, value: &str) {
        self.out.put_u8(marker::STRING);
        self.key(value);
    }

    /// Writes null.
    pub fn null(&mut self) {
        self.out.put_u8(marker::NULL);
    }

    /// Begins an object; keys and values follow, then [`Writer::end_object`].
    pub fn begin_object(&mut self) {
        self.out.put_u8(marker::OBJECT);
    }

    /// Begins an ECMA array of `count` keys and values, ended like an object.
    pub fn begin_ecma_array(&mut self, count: usize) {
        self.out.put_u8(marker::ECMA_ARRAY);
        self.out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// A property's name, before its value.
    pub fn key(&mut self, name: &str) {
        let name = name.get(..name.floor_char_boundary(usize::from(u16::MAX))).unwrap_or_default();
        self.out.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
        self.out.put_slice(name.as_bytes());
    }

    /// Ends an object or ECMA array.
    pub fn end_object(&mut self) {
        self.out.put_slice(&[0, 0, marker::OBJECT_END]);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let mut out = BytesMut::new();
        let mut writer = Writer::new(&mut out);
        writer.string("connect");
        writer.number(1.0);
        writer.begin_object();
        writer.key("app");
        writer.string("live");
        writer.key("fpad");
        writer.boolean(false);
        writer.end_object();
        writer.null();
        let mut reader = Reader::new(&out);
        assert_eq!(reader.value().unwrap().as_str(), Some("connect"));
        assert_eq!(reader.value().unwrap().as_number(), Some(1.0));
        let object = reader.value().unwrap();
        assert_eq!(object.get("app").unwrap().as_str(), Some("live"));
        assert_eq!(object.get("fpad"), Some(&Value::Boolean(false)));
        assert_eq!(reader.value(), Ok(Value::Null));
        assert!(reader.is_empty());
    }

    #[test]
    fn a_thousand_levels_are_refused() {
        let objects: Vec<u8> = std::iter::repeat_n([marker::OBJECT, 0, 1, b'a'], 1000).flatten().collect();
        assert_eq!(Reader::new(&objects).value(), Err(AmfError::TooLarge));
        let arrays: Vec<u8> = std::iter::repeat_n([marker::STRICT_ARRAY, 0, 0, 0, 1], 1000).flatten().collect();
        assert_eq!(Reader::new(&arrays).value(), Err(AmfError::TooLarge));
    }

    #[test]
    fn claimed_sizes_are_not_believed() {
        assert_eq!(Reader::new(&[marker::LONG_STRING, 255, 255, 255, 255]).value(), Err(AmfError::TooLarge));
        assert_eq!(Reader::new(&[marker::STRICT_ARRAY, 255, 255, 255, 255]).value(), Err(AmfError::Truncated));
        let nulls = [&[marker::STRICT_ARRAY, 255, 255, 255, 255][..], &[marker::NULL; 5000]].concat();
        assert_eq!(Reader::new(&nulls).value(), Err(AmfError::TooLarge));
    }

    /// A command of AMF3 as Flash's descendants write it: an object inside AMF0.
    #[test]
    fn amf3_is_read_where_amf0_leads_into_it() {
        let connect = [
            &[marker::AMF3, marker3::OBJECT, 0x0b, 1][..], // a dynamic object without a class
            &[7, b'a', b'p', b'p', marker3::STRING, 9, b'l', b'i', b'v', b'e'],
            &[7, b'f', b'p', b's', marker3::INTEGER, 0x87, 0x68], // 1000
            &[5, b'n', b'o', marker3::INTEGER, 0xff, 0xff, 0xff, 0xff], // -1
            &[5, b'x', b'y', marker3::ARRAY, 5, 1, marker3::TRUE, marker3::NULL],
            &[5, b'z', b'z', marker3::BYTE_ARRAY, 5, 1, 2],
            &[5, b'v', b'v', marker3::VECTOR_INT, 3, 0, 0, 0, 0, 7],
            &[5, b'd', b'd', marker3::DICTIONARY, 3, 0, marker3::STRING, 0, marker3::FALSE],
            &[5, b'o', b'o', marker3::OBJECT, 0x13, 1, 3, b'n', marker3::STRING, 2], // one sealed member
            &[5, b'p', b'p', marker3::OBJECT, 0x01 | 0x04, marker3::DOUBLE, 0x40, 0, 0, 0, 0, 0, 0, 0], // the same traits
            &[1],
            &[marker::NUMBER, 0x40, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let mut reader = Reader::new(&connect);
        let object = reader.value().unwrap();
        assert_eq!(object.get("app").and_then(Value::as_str), Some("live"));
        assert_eq!(object.get("fps"), Some(&Value::Number(1000.0)));
        assert_eq!(object.get("no"), Some(&Value::Number(-1.0)));
        assert_eq!(object.get("xy"), Some(&Value::Array(vec![Value::Boolean(true), Value::Null])));
        for passed_over in ["zz", "vv", "dd"] {
            assert_eq!(object.get(passed_over), Some(&Value::Null));
        }
        assert_eq!(object.get("oo").unwrap().get("n").and_then(Value::as_str), Some("live"), "a string by its number");
        assert_eq!(object.get("pp").unwrap().get("n"), Some(&Value::Number(2.0)), "traits by their number");
        assert_eq!(reader.value(), Ok(Value::Number(2.0)), "AMF0 goes on behind it");
        assert!(reader.is_empty());
    }

    #[test]
    fn text_and_references_of_no_use_are_passed_over() {
        let object = [
            &[marker::OBJECT, 0, 1, b'p', marker::STRING, 0, 4, b'c', b'a', b'f', 0xe9][..],
            &[0, 1, b'r', marker::REFERENCE, 0, 0],
            &[0, 1, b'a', marker::STRING, 0, 1, b'l', 0, 0, marker::OBJECT_END],
        ]
        .concat();
        let mut reader = Reader::new(&object);
        let object = reader.value().unwrap();
        assert_eq!(object.get("p").and_then(Value::as_str), Some("caf\u{fffd}"));
        assert_eq!(object.get("r"), Some(&Value::Null));
        assert_eq!(object.get("a").and_then(Value::as_str), Some("l"));
        assert!(reader.not_utf8());
    }

    #[test]
    fn what_stands_before_a_malformed_property_is_not_lost() {
        for object in [
            &[marker::OBJECT, 0, 1, b'a', marker::STRING, 0, 1, b'l', 0, 1, b'b', 99][..],
            &[marker::OBJECT, 0, 1, b'a', marker::STRING, 0, 1, b'l', 0, 1, b'b', marker::OBJECT, 0, 1, b'c', 99],
            &[marker::AMF3, marker3::OBJECT, 0x0b, 1, 3, b'a', marker3::STRING, 3, b'l', 3, b'b', 99],
        ] {
            let mut reader = Reader::new(object);
            let (part, error) = reader.value_or_part().unwrap_err();
            assert_eq!(part.get("a").and_then(Value::as_str), Some("l"));
            assert_eq!(error, AmfError::Marker(99));
            assert!(reader.is_empty(), "nothing can be read behind it");
        }
    }

    #[test]
    fn amf3_is_bounded() {
        let deep: Vec<u8> =
            std::iter::once(marker::AMF3).chain([marker3::ARRAY, 3, 1].into_iter().cycle().take(3000)).collect();
        assert_eq!(Reader::new(&deep).value(), Err(AmfError::TooLarge));
        let many = [&[marker::AMF3, marker3::ARRAY, 0xff, 0xff, 0xff, 0xff, 1][..], &[marker3::NULL; 5000]].concat();
        assert_eq!(Reader::new(&many).value(), Err(AmfError::TooLarge));
        let claimed = [marker::AMF3, marker3::STRING, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&claimed).value(), Err(AmfError::TooLarge));
        // One long string, and a thousand that repeat it.
        let long =
            [&[marker::AMF3, marker3::ARRAY, 0xbf, 0x01, 1, marker3::STRING, 0xff, 0x7f][..], &[b'x'; 8191]].concat();
        let echo = [long, [marker3::STRING, 0].repeat(4000)].concat();
        assert_eq!(Reader::new(&echo).value(), Err(AmfError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_amf3_is_a_value_or_an_error(bytes in proptest::collection::vec(0_u8..20, 0..300), wild in any::<[u8; 8]>()) {
            let message = [&[marker::AMF3][..], &bytes, &wild, &bytes].concat();
            let mut reader = Reader::new(&message);
            while reader.value().is_ok() {}
        }

        #[test]
        fn any_bytes_are_values_or_an_error(bytes in proptest::collection::vec(0_u8..20, 0..300)) {
            let mut reader = Reader::new(&bytes);
            while reader.value().is_ok() {}
        }
    }
}
