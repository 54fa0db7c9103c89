//! One scan: which components it has, in which order their blocks come, and how a block is coded (T.81, annexes F and G).

use super::bits::{Bits, HuffmanTable};
use super::{Frame, JpegError, Result, ZIGZAG, short};

type Tables = [Option<HuffmanTable>; 4];

/// The header of a scan.
pub(super) struct Scan {
    /// Number of the component in the frame, its DC table and its AC table.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// Coefficients of the scan, the first and the last.
    spectrum: [usize; 2],
    /// Bits that earlier scans gave and this one gives: a first pass has 0 for the former.
    high: u8,
    low: u8,
    /// MCUs between restart markers; none where 0.
    pub(super) restart_interval: usize,
}

/// What is carried from block to block.
#[derive(Default)]
struct State {
    /// DC of the block before, by component of the frame.
    dc: [i32; 4],
    /// Blocks that have no more coefficients in this scan.
    end_of_band: u32,
}

impl Scan {
    pub(super) fn parse(segment: &[u8], frame: &Frame) -> Result<Self> {
        let [count, rest @ ..] = segment else { return Err(short()) };
        let count = usize::from(*count);
        let (chosen, spectrum) = (rest.get(..2 * count).ok_or_else(short)?, rest.get(2 * count..).unwrap_or_default());
        let [first, last, bits, ..] = spectrum else { return Err(short()) };
        let mut components: Vec<(usize, usize, usize)> = vec![];
        for each in chosen.chunks_exact(2) {
            let index = frame.components.iter().position(|component| component.id == each[0]);
            let index = index.ok_or(JpegError::Malformed("expected a scan of the frame's components"))?;
            if components.iter().any(|&(found, ..)| found == index) || each[1] >> 4 > 3 || each[1] & 15 > 3 {
                return Err(JpegError::Malformed("expected each component once, with Huffman tables 0 to 3"));
            }
            components.push((index, usize::from(each[1] >> 4), usize::from(each[1] & 15)));
        }
        let (spectrum, high, low) = match frame.is_progressive {
            true => ([usize::from(*first), usize::from(*last)], bits >> 4, bits & 15),
            false => ([0, 63], 0, 0),
        };
        let is_dc = spectrum == [0, 0];
        let is_ac = spectrum[0] >= 1 && spectrum[0] <= spectrum[1] && spectrum[1] <= 63 && components.len() == 1;
        if components.is_empty() || (frame.is_progressive && !is_dc && !is_ac) || low > 13 {
            return Err(JpegError::Malformed("expected a scan of coefficients from 0 to 63"));
        }
        Ok(Self { components, spectrum, high, low, restart_interval: 0 })
    }

    /// Decodes the scan into the frame's components; gives how many bytes it took.
    pub(super) fn decode(&self, frame: &mut Frame, tables: [&Tables; 2], bytes: &[u8]) -> Result<usize> {
        let mut bits = Bits::new(bytes);
        let mut state = State::default();
        let mcus = match self.components[..] {
            // The blocks of a component by itself are not padded to MCUs.
            [(index, ..)] => {
                let component = &frame.components[index];
                [component.width.div_ceil(8), component.height.div_ceil(8)]
            }
            _ => frame.mcus(),
        };
        for mcu in 0..mcus[0] * mcus[1] {
            if self.restart_interval > 0 && mcu > 0 && mcu % self.restart_interval == 0 {
                bits.restart()?;
                state = State::default();
            }
            let [column, row] = [mcu % mcus[0], mcu / mcus[0]];
            for each in &self.components {
                let [across, down] = match self.components.len() {
                    1 => [1, 1],
                    _ => frame.components[each.0].sampling,
                };
                for block in 0..across * down {
                    let at = [column * across + block % across, row * down + block / across];
                    self.block(frame, *each, at, (&mut bits, &mut state), tables)?;
                }
            }
        }
        Ok(bits.place())
    }

    fn block(
        &self,
        frame: &mut Frame,
        (index, dc, ac): (usize, usize, usize),
        at: [usize; 2],
        (bits, state): (&mut Bits<'_>, &mut State),
        [dc_tables, ac_tables]: [&Tables; 2],
    ) -> Result<()> {
        let missing = JpegError::Malformed("expected a Huffman table before the scan that needs it");
        let dc_table = || dc_tables[dc].as_ref().ok_or(missing.clone());
        let ac_table = || ac_tables[ac].as_ref().ok_or(missing.clone());
        let component = &mut frame.components[index];
        if !frame.is_progressive {
            let mut block = [0; 64];
            block[0] = next_dc(bits, dc_table()?, &mut state.dc[index])? as i16;
            band(bits, ac_table()?, &mut block, [1, 63], 0)?;
            if let Some(table) = component.table {
                component.put(at, &block, &table);
            }
            return Ok(());
        }
        let block = &mut component.coefficients[at[1] * component.blocks[0] + at[0]];
        match (self.spectrum[0], self.high) {
            (0, 0) => block[0] = (next_dc(bits, dc_table()?, &mut state.dc[index])? << self.low) as i16,
            (0, _) => block[0] |= (bits.take(1)? << self.low) as i16,
            (_, 0) => self.first(bits, ac_table()?, block, &mut state.end_of_band)?,
            _ => self.refine(bits, ac_table()?, block, &mut state.end_of_band)?,
        }
        Ok(())
    }

    /// The first bits of a band of coefficients (figure G.3).
    fn first(&self, bits: &mut Bits<'_>, table: &HuffmanTable, block: &mut [i16; 64], skipped: &mut u32) -> Result<()> {
        if *skipped > 0 {
            *skipped -= 1;
            return Ok(());
        }
        if let Some(run) = band(bits, table, block, self.spectrum, self.low)? {
            *skipped = end_of_band(bits, run)? - 1;
        }
        Ok(())
    }

    /// One more bit of a band of coefficients (figures G.7 and G.8).
    fn refine(
        &self,
        bits: &mut Bits<'_>,
        table: &HuffmanTable,
        block: &mut [i16; 64],
        skipped: &mut u32,
    ) -> Result<()> {
        let one = 1_i16 << self.low;
        let mut k = self.spectrum[0];
        while *skipped == 0 && k <= self.spectrum[1] {
            let symbol = bits.symbol(table)?;
            let (mut run, length) = (usize::from(symbol >> 4), symbol & 15);
            let value = match length {
                0 if run < 15 => {
                    *skipped = end_of_band(bits, run)?;
                    break;
                }
                0 => 0,
                1 if bits.take(1)? == 1 => one,
                1 => -one,
                _ => return Err(JpegError::Malformed("expected one more bit of each coefficient")),
            };
            // Past `run` coefficients that were 0 so far; those that were not get their bit on the way.
            while k <= self.spectrum[1] {
                let coefficient = &mut block[ZIGZAG[k]];
                if *coefficient != 0 {
                    refine_one(bits, coefficient, one)?;
                } else if run == 0 {
                    *coefficient = value;
                    break;
                } else {
                    run -= 1;
                }
                k += 1;
            }
            k += 1;
        }
        if *skipped > 0 {
            for &at in ZIGZAG.iter().take(self.spectrum[1] + 1).skip(k) {
                if block[at] != 0 {
                    refine_one(bits, &mut block[at], one)?;
                }
            }
            *skipped -= 1;
        }
        Ok(())
    }
}

fn refine_one(bits: &mut Bits<'_>, coefficient: &mut i16, one: i16) -> Result<()> {
    if bits.take(1)? == 1 && *coefficient & one == 0 {
        *coefficient = coefficient.wrapping_add(if *coefficient > 0 { one } else { -one });
    }
    Ok(())
}

/// How many blocks, this one included, have no more coefficients in the band.
fn end_of_band(bits: &mut Bits<'_>, length: usize) -> Result<u32> {
    let more = if length > 0 { bits.take(length as u32)? } else { 0 };
    Ok((1 << length) + more as u32)
}

fn next_dc(bits: &mut Bits<'_>, table: &HuffmanTable, before: &mut i32) -> Result<i32> {
    let length = bits.symbol(table)?;
    *before = before.wrapping_add(bits.signed(length)?);
    Ok(*before)
}

/// Coefficients from `first` to `last`, shifted left by `low` bits (figures F.13 and G.3); where a symbol ends the band before
/// that, the number of bits that say for how many blocks.
fn band(
    bits: &mut Bits<'_>,
    table: &HuffmanTable,
    block: &mut [i16; 64],
    [first, last]: [usize; 2],
    low: u8,
) -> Result<Option<usize>> {
    let mut k = first;
    while k <= last {
        let symbol = bits.symbol(table)?;
        let (run, length) = (usize::from(symbol >> 4), symbol & 15);
        if length == 0 {
            if run < 15 {
                return Ok(Some(run));
            }
            k += 16;
            continue;
        }
        k += run;
        let at = *ZIGZAG.get(k).ok_or(JpegError::Malformed("expected at most 64 coefficients in a block"))?;
        block[at] = (bits.signed(length)? << low) as i16;
        k += 1;
    }
    Ok(None)
}
