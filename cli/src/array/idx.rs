//! IDX, the format of MNIST: two zero bytes, an element type, the number of axes, their lengths
//! (big-endian), then the elements. Often packed with gzip.

use std::io::Read;

use anyhow::{Context, Result, bail, ensure};
use signfold::Limits;

use super::elements;

/// Whether a file that starts so is IDX.
pub fn detect(start: &[u8]) -> bool {
    start.starts_with(&[0, 0])
}

/// The lengths of the axes, and the elements: bytes. The source gives no more than `most`.
pub fn read(mut source: impl Read, most: u64, limits: &Limits) -> Result<(Vec<usize>, Vec<u8>)> {
    let mut start = [0; 4];
    source.read_exact(&mut start).context("not a whole IDX file")?;
    let [0, 0, kind, axes] = start else {
        bail!("not an IDX file");
    };
    ensure!(kind == 0x08, "IDX elements of type {kind:#04x}: only bytes (0x08) can be read");
    ensure!(axes > 0, "an IDX file without axes");
    let mut lengths = vec![0; 4 * usize::from(axes)];
    source.read_exact(&mut lengths).context("the lengths of the axes are cut off")?;
    let (lengths, _) = lengths.as_chunks();
    let shape: Vec<usize> = lengths.iter().map(|&n| u32::from_be_bytes(n) as usize).collect();
    let bytes = shape.iter().try_fold(1_u64, |product, &n| product.checked_mul(n as u64));
    let bytes = bytes.with_context(|| format!("an array of shape {shape:?} is too large"))?;
    let elements = elements(source, &shape, bytes, most, limits)?;
    Ok((shape, elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(shape: &[u32], elements: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend(elements);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Vec<usize>, Vec<u8>)> {
        super::read(bytes, bytes.len() as u64, &Limits::default())
    }

    #[test]
    fn images_and_labels_are_read() {
        let images = idx(&[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert!(detect(&images));
        let (shape, elements) = read(&images).unwrap();
        assert_eq!(shape, [2, 2, 3]);
        assert_eq!(elements, (1..=12).collect::<Vec<u8>>());
        assert_eq!(read(&idx(&[3], &[7, 8, 9])).unwrap(), (vec![3], vec![7, 8, 9]));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let good = idx(&[2, 2], &[1, 2, 3, 4]);
        for len in 0..good.len() {
            assert!(read(&good[..len]).is_err(), "{len}");
        }
        for bytes in [
            idx(&[2, 2], &[0; 5]),
            idx(&[], &[]),
            idx(&[u32::MAX; 255], &[0; 5]),
            idx(&[u32::MAX, 1000], &[0; 5]),
            [0, 0, 9, 1, 0, 0, 0, 1, 0].to_vec(),
        ] {
            assert!(read(&bytes).is_err());
        }
    }
}
