//! Bits of a scan, and the Huffman codes in them (T.81, annexes C and F).

use super::{JpegError, Result};

/// Bits that are looked up at once; longer codes are rare.
const LOOKUP: u32 = 9;

/// A Huffman code.
pub(super) struct HuffmanTable {
    /// For the next [`LOOKUP`] bits: symbol and length of the code, 0 where it is longer.
    lookup: Vec<(u8, u8)>,
    /// For each length: one past the largest code, and what to add to a code for the place of its symbol.
    ends: [(i32, i32); 17],
    symbols: Vec<u8>,
}

impl HuffmanTable {
    /// Of the number of codes of each length from 1 to 16, and the symbols in order.
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Result<Self> {
        let mut lookup = vec![(0, 0); 1 << LOOKUP];
        let mut ends = [(0, 0); 17];
        let (mut code, mut place) = (0_i32, 0_i32);
        for (length, &count) in (1_u32..).zip(counts) {
            let first = place - code;
            for _ in 0..count {
                if code >= 1 << length {
                    return Err(JpegError::Malformed("expected a Huffman table whose codes fit into their lengths"));
                }
                if length <= LOOKUP {
                    let start = (code as usize) << (LOOKUP - length);
                    lookup[start..start + (1 << (LOOKUP - length))].fill((symbols[place as usize], length as u8));
                }
                code += 1;
                place += 1;
            }
            ends[length as usize] = (code, first);
            code <<= 1;
        }
        Ok(Self { lookup, ends, symbols: symbols.to_vec() })
    }
}

/// The entropy-coded bytes of a scan, up to the next marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    place: usize,
    buffer: u64,
    /// Bits in the buffer, at its lower end.
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, place: 0, buffer: 0, count: 0 }
    }

    /// How many bytes are used up.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    fn refill(&mut self) {
        while self.count <= 48 {
            match self.bytes[self.place.min(self.bytes.len())..] {
                [0xff, 0x00, ..] => {
                    self.buffer = (self.buffer << 8) | 0xff;
                    self.place += 2;
                }
                [0xff, ..] | [] => return,
                [byte, ..] => {
                    self.buffer = (self.buffer << 8) | u64::from(byte);
                    self.place += 1;
                }
            }
            self.count += 8;
        }
    }

    /// The next bits without using them up, zeros behind the last.
    fn peek(&mut self, length: u32) -> usize {
        if self.count < length {
            self.refill();
        }
        let bits = match self.count.checked_sub(length) {
            Some(more) => self.buffer >> more,
            None => self.buffer << (length - self.count),
        };
        (bits & ((1 << length) - 1)) as usize
    }

    fn skip(&mut self, length: u32) -> Result<()> {
        self.count = self.count.checked_sub(length).ok_or_else(|| self.ended())?;
        Ok(())
    }

    /// Why there are no more bits.
    fn ended(&self) -> JpegError {
        match self.bytes.get(self.place + 1) {
            Some(_) => JpegError::Malformed("expected more of a scan, found the next marker"),
            None => JpegError::Truncated,
        }
    }

    /// The next bits, up to 16, as a number.
    pub(super) fn take(&mut self, length: u32) -> Result<i32> {
        let bits = self.peek(length);
        self.skip(length)?;
        Ok(bits as i32)
    }

    /// The next symbol.
    pub(super) fn symbol(&mut self, table: &HuffmanTable) -> Result<u8> {
        let (symbol, length) = table.lookup[self.peek(LOOKUP)];
        if length > 0 {
            self.skip(u32::from(length))?;
            return Ok(symbol);
        }
        for length in LOOKUP + 1..=16 {
            let code = self.peek(length) as i32;
            let (end, first) = table.ends[length as usize];
            if code < end {
                self.skip(length)?;
                let symbol = usize::try_from(code + first).ok().and_then(|place| table.symbols.get(place));
                return symbol.copied().ok_or(JpegError::Malformed("expected a code of the Huffman table"));
            }
        }
        // Behind the end, zeros are no code's fault.
        if self.count < 16 {
            return Err(self.ended());
        }
        Err(JpegError::Malformed("expected a code of the Huffman table"))
    }

    /// A signed number of so many bits (EXTEND of T.81).
    pub(super) fn signed(&mut self, length: u8) -> Result<i32> {
        match u32::from(length) {
            0 => Ok(0),
            length @ 1..=15 => {
                let bits = self.take(length)?;
                Ok(if bits < 1 << (length - 1) { bits - (1 << length) + 1 } else { bits })
            }
            _ => Err(JpegError::Malformed("expected a number of at most 15 bits")),
        }
    }

    /// Goes past the restart marker that must stand here.
    pub(super) fn restart(&mut self) -> Result<()> {
        // Whole bytes that were read ahead belong before the marker; they are padding.
        (self.buffer, self.count) = (0, 0);
        loop {
            match self.bytes[self.place.min(self.bytes.len())..] {
                [0xff, 0xd0..=0xd7, ..] => {
                    self.place += 2;
                    return Ok(());
                }
                [0xff, 0xff, ..] => self.place += 1,
                [_, _, ..] => return Err(JpegError::Malformed("expected a restart marker")),
                _ => return Err(JpegError::Truncated),
            }
        }
    }
}
