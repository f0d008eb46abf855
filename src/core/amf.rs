//! AMF0, the notation of RTMP's commands and FLV's script data (Adobe's "Action Message Format - AMF 0").
//!
//! Values come from strangers: depth, number and size are bounded, and nothing here panics or allocates ahead of what was sent.

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
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const XML: u8 = 15;
    pub(super) const TYPED_OBJECT: u8 = 16;
}

/// Why a message is no AMF0 that is taken here.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AmfError {
    /// It ends inside a value.
    #[error("the message ends inside a value")]
    Truncated,
    /// A marker that is not taken: references, and AMF3.
    #[error("values of type {0} are not supported")]
    Marker(u8),
    /// Too deep, too many or too long.
    #[error("the message is nested too deep or has too many or too long values")]
    TooLarge,
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number.
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
    /// Null, undefined or unsupported.
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
}

impl<'a> Reader<'a> {
    /// Reads `message` from its start.
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message, values: 0 }
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value.
    ///
    /// # Errors
    ///
    /// When the message ends inside it, or it is of a type or size that is not taken.
    pub fn value(&mut self) -> Result<Value, AmfError> {
        self.nested(0)
    }

    fn nested(&mut self, depth: usize) -> Result<Value, AmfError> {
        self.values += 1;
        if depth >= MAX_DEPTH || self.values > MAX_VALUES {
            return Err(AmfError::TooLarge);
        }
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
            marker::NULL | marker::UNDEFINED | marker::UNSUPPORTED => Ok(Value::Null),
            other => Err(AmfError::Marker(other)),
        }
    }

    fn properties(&mut self, depth: usize) -> Result<Value, AmfError> {
        let mut properties = Vec::new();
        loop {
            let name = self.short_string()?;
            if name.is_empty() && self.rest.first() == Some(&marker::OBJECT_END) {
                self.array::<1>()?;
                return Ok(Value::Object(properties));
            }
            properties.push((name, self.nested(depth + 1)?));
        }
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
        String::from_utf8(text.to_vec()).map_err(|_| AmfError::Utf8)
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

    /// A number.
    pub fn number(&mut self, value: f64) {
        self.out.put_u8(marker::NUMBER);
        self.out.put_f64(value);
    }

    /// True or false.
    pub fn boolean(&mut self, value: bool) {
        self.out.put_slice(&[marker::BOOLEAN, u8::from(value)]);
    }

    /// A string.
    pub fn string(&mut self, value: &str) {
        self.out.put_u8(marker::STRING);
        self.key(value);
    }

    /// Null.
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

    proptest! {
        #[test]
        fn any_bytes_are_values_or_an_error(bytes in proptest::collection::vec(0_u8..20, 0..300)) {
            let mut reader = Reader::new(&bytes);
            while reader.value().is_ok() {}
        }
    }
}
