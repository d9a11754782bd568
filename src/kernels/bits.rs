//! Numbers of bits as lists of places, by table.

/// Lists `first` plus the places of the bits that are set in the lowest byte; answers how many these
/// are. Writes eight numbers, of which the others mean nothing.
#[inline(always)]
pub(super) fn list(bits: u32, first: u32, to: &mut [u32]) -> usize {
    let (places, count) = places(bits);
    for (to, &place) in to[..8].iter_mut().zip(places) {
        *to = first + u32::from(place);
    }
    count
}

/// The places of the bits that are set in the lowest byte, and how many they are. Not every CPU has
/// an instruction to count them.
#[inline(always)]
pub(super) fn places(bits: u32) -> (&'static [u8; 8], usize) {
    let byte = (bits & 0xFF) as usize;
    (&PLACES[byte], COUNTS[byte].into())
}

/// The number of bits that are set in each byte.
static COUNTS: [u8; 256] = {
    let mut all = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = byte.count_ones() as u8;
        byte += 1;
    }
    all
};

/// The places of the bits that are set in each byte, the lowest first.
static PLACES: [[u8; 8]; 256] = {
    let mut all = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut place, mut found) = (0, 0);
        while place < 8 {
            if byte >> place & 1 == 1 {
                all[byte][found] = place as u8;
                found += 1;
            }
            place += 1;
        }
        byte += 1;
    }
    all
};
