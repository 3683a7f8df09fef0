//! The different words of a reference as numbers. Words of a sampled text are only looked up, so its cost does not hang
//! on what the model writes.

/// The odd number nearest to 2^64 over the golden ratio: products with it are spread evenly over their upper bits.
pub(crate) const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The letters of a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letters<'t> {
    /// The first eight bytes, the first one lowest; zeros behind a shorter word.
    head: u64,
    bytes: &'t [u8],
}

/// Bytes of a word's head.
const HEAD: usize = 8;

/// Words numbered 0, 1, … in the order in which they came first.
pub(crate) struct Vocabulary {
    /// At the place of a word's hash, or behind it, its number and 1; 0 is free.
    slots: Vec<u32>,
    words: Vec<Known>,
    /// Of words longer than their heads all letters.
    letters: Vec<u8>,
    /// How far a hash is shifted to be a place.
    shift: u32,
}

struct Known {
    head: u64,
    length: u32,
    /// First byte in `letters`.
    start: u32,
}

impl<'t> Letters<'t> {
    pub(crate) fn new(word: &'t str) -> Self {
        let bytes = word.as_bytes();
        let mut head = [0; HEAD];
        let length = bytes.len().min(HEAD);
        head[..length].copy_from_slice(&bytes[..length]);
        Self { head: u64::from_le_bytes(head), bytes }
    }

    /// The word `start..end` of `text`, quickly where more bytes stand behind it.
    #[inline]
    pub(crate) fn within(text: &'t str, start: usize, end: usize) -> Self {
        let bytes = &text.as_bytes()[start..end];
        match text.as_bytes()[start..].first_chunk::<HEAD>() {
            Some(head) => {
                let unused = HEAD.saturating_sub(bytes.len()) as u32 * 8;
                let head = if unused == 64 { 0 } else { u64::from_le_bytes(*head) << unused >> unused };
                Self { head, bytes }
            }
            None => Self::new(&text[start..end]),
        }
    }

    #[inline]
    fn hash(self) -> u64 {
        let tail = self.bytes.get(HEAD..).unwrap_or_default();
        let mix = |hash: u64, eight: u64| (hash ^ eight).wrapping_mul(SPREAD).rotate_left(29);
        let hash = tail.chunks(HEAD).fold(self.bytes.len() as u64, |hash, chunk| {
            let mut eight = [0; HEAD];
            eight[..chunk.len()].copy_from_slice(chunk);
            mix(hash, u64::from_le_bytes(eight))
        });
        (hash ^ self.head).wrapping_mul(SPREAD)
    }
}

impl Vocabulary {
    /// An empty one with room for `count` words.
    pub(crate) fn for_words(count: usize) -> Self {
        let places = (2 * count).next_power_of_two().max(2);
        Self {
            slots: vec![0; places],
            words: Vec::with_capacity(count),
            letters: Vec::new(),
            shift: u64::BITS - places.trailing_zeros(),
        }
    }

    /// The number of a word, a new one for a new word.
    #[inline]
    pub(crate) fn add(&mut self, word: Letters<'_>) -> u32 {
        let slot = match self.find(word) {
            Ok(number) => return number,
            Err(slot) => slot,
        };
        // A message is shorter than 2^32 bytes, so it has fewer words and letters.
        let number = self.words.len() as u32;
        let known = Known { head: word.head, length: word.bytes.len() as u32, start: self.letters.len() as u32 };
        if word.bytes.len() > HEAD {
            self.letters.extend_from_slice(word.bytes);
        }
        self.words.push(known);
        self.slots[slot] = number + 1;
        number
    }

    /// The number of a word of the reference.
    #[inline]
    pub(crate) fn number(&self, word: Letters<'_>) -> Option<u32> {
        self.find(word).ok()
    }

    /// How many different words there are.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// The number of a word, or the slot where it would be. One slot in two is free at least, so there is an end.
    #[inline]
    fn find(&self, word: Letters<'_>) -> Result<u32, usize> {
        let mut slot = (word.hash() >> self.shift) as usize;
        loop {
            let number = match self.slots[slot] {
                0 => return Err(slot),
                number => number - 1,
            };
            if self.is_same(&self.words[number as usize], word) {
                return Ok(number);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn is_same(&self, known: &Known, word: Letters<'_>) -> bool {
        let length = word.bytes.len();
        known.head == word.head
            && known.length as usize == length
            && (length <= HEAD || self.letters[known.start as usize..][..length] == *word.bytes)
    }
}
