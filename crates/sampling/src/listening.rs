//! Text that is heard word by word while it is written, and given up when nobody listens any more.

use std::ops::ControlFlow;

use interfuse_data::Tokenizer;

/// Hears what is written of a batch.
pub trait Listener {
    /// Words that were written for an item since the last call, with the blank before them. On [`ControlFlow::Break`] the batch
    /// is given up.
    fn wrote(&mut self, item: usize, words: &str) -> ControlFlow<()>;

    /// Whether anybody listens; if not, nothing is told.
    fn hears(&self) -> bool {
        true
    }
}

/// Nobody: whatever is written is written to its end.
impl Listener for () {
    fn wrote(&mut self, _: usize, _: &str) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn hears(&self) -> bool {
        false
    }
}

/// Tells a listener what ids add to the text of each item.
pub(crate) struct Telling<'a> {
    listener: &'a mut dyn Listener,
    tokenizer: &'a Tokenizer,
    /// Bytes of each item's text that were told.
    told: Vec<usize>,
}

impl<'a> Telling<'a> {
    pub(crate) fn new(listener: &'a mut dyn Listener, tokenizer: &'a Tokenizer, items: usize) -> Self {
        Self { listener, tokenizer, told: vec![0; items] }
    }

    /// Tells what is new, given all ids of each item so far.
    pub(crate) fn tell(&mut self, written: &[Vec<u32>]) -> ControlFlow<()> {
        // The last character may be there in part only.
        self.tell_of(written, |text| text.trim_end_matches(char::REPLACEMENT_CHARACTER))
    }

    /// Tells what is left of texts that have come to their end.
    pub(crate) fn finish(&mut self, written: &[Vec<u32>]) -> ControlFlow<()> {
        self.tell_of(written, |text| text)
    }

    fn tell_of(&mut self, written: &[Vec<u32>], sure: fn(&str) -> &str) -> ControlFlow<()> {
        if !self.listener.hears() {
            return ControlFlow::Continue(());
        }
        for (item, ids) in written.iter().enumerate() {
            let Ok(text) = self.tokenizer.decode(ids) else { continue };
            // A blank at the end may be the last of the text, which has none there.
            let whole = sure(text.trim_start()).trim_end();
            if let Some(new) = whole.get(self.told[item]..).filter(|new| !new.is_empty()) {
                self.told[item] = whole.len();
                self.listener.wrote(item, new)?;
            }
        }
        ControlFlow::Continue(())
    }
}
