//! The part of protobuf's encoding that event files need: four kinds of field, in the order they are given.

/// A message that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

/// The low three bits of a field's key.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH_FIRST: u64 = 2;
const FOUR_BYTES: u64 = 5;

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A field of type `int32`, `int64` (not negative) or an enum.
    pub(super) fn varint(self, field: u32, value: u64) -> Self {
        self.key(field, VARINT).raw_varint(value)
    }

    pub(super) fn double(self, field: u32, value: f64) -> Self {
        self.key(field, EIGHT_BYTES).raw(&value.to_le_bytes())
    }

    pub(super) fn float(self, field: u32, value: f32) -> Self {
        self.key(field, FOUR_BYTES).raw(&value.to_le_bytes())
    }

    pub(super) fn bytes(self, field: u32, value: &[u8]) -> Self {
        self.key(field, LENGTH_FIRST).raw_varint(value.len() as u64).raw(value)
    }

    pub(super) fn string(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(super) fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    fn key(self, field: u32, kind: u64) -> Self {
        self.raw_varint(u64::from(field) << 3 | kind)
    }

    /// Seven bits a byte, lowest first; the high bit says that more follow.
    fn raw_varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}
