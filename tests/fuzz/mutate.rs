//! Inputs: a text of the corpus, changed a few times. From a seed, so that a failure can be had again.

/// Makes inputs.
pub(crate) struct Mutator<'a> {
    state: u64,
    corpus: &'a [Vec<u8>],
    words: &'a [&'a [u8]],
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(seed: u64, corpus: &'a [Vec<u8>], words: &'a [&'a [u8]]) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, corpus, words }
    }

    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        usize::try_from(self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap_or(0) % end.max(1)
    }

    fn base(&mut self) -> Vec<u8> {
        let at = self.below(self.corpus.len());
        self.corpus[at].clone()
    }

    /// A place between words, as far as bytes tell, so that more inputs stay well-formed.
    fn gap(&mut self, text: &[u8]) -> usize {
        let at = self.below(text.len() + 1);
        let rest = text.get(at..).unwrap_or_default();
        at + rest.iter().position(|b| b" (),;=\0".contains(b)).unwrap_or(rest.len())
    }

    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut text = self.base();
        for _ in 0..1 + self.below(4) {
            let (from, to) = {
                let (a, b) = (self.gap(&text), self.gap(&text));
                (a.min(b), a.max(b))
            };
            match self.below(9) {
                0 => {
                    let at = self.below(text.len());
                    if let Some(byte) = text.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
                1 => drop(text.drain(from..to)),
                2 => {
                    let piece = text[from..to].to_vec();
                    let at = self.gap(&text);
                    text.splice(at..at, piece);
                }
                3 => {
                    let other = self.base();
                    let (a, b) = (self.gap(&other), self.gap(&other));
                    text.splice(from..to, other[a.min(b)..a.max(b)].to_vec());
                }
                4 => text.truncate(to),
                5 => text.insert(from, [0, 255, b'\'', b'"', b'$', b'\\', b';', b'\n'][self.below(8)]),
                _ => {
                    let word = self.words[self.below(self.words.len())];
                    text.splice(from..from, [b" ", word, b" "].concat());
                }
            }
            text.truncate(16_384);
        }
        text
    }
}
