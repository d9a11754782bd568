//! IDX, the format of MNIST: two zero bytes, an element type, the number of axes, their lengths
//! (big-endian), then the elements. Often packed with gzip.

use std::io::Read;

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;

/// How many times larger than its packed form data can be at most: a limit of the format.
const MAX_EXPANSION: u64 = 1032;

/// Whether a file that starts so is IDX, packed or not.
pub fn detect(start: &[u8]) -> bool {
    start.starts_with(&[0, 0]) || is_gzip(start)
}

fn is_gzip(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b])
}

/// The lengths of the axes, and the elements: bytes.
pub fn read(file: &[u8]) -> Result<(Vec<usize>, Vec<u8>)> {
    match is_gzip(file) {
        true => unpacked(GzDecoder::new(file), MAX_EXPANSION * file.len() as u64),
        false => unpacked(file, file.len() as u64),
    }
}

/// Reads from a source that gives no more than `most` bytes.
fn unpacked(mut source: impl Read, most: u64) -> Result<(Vec<usize>, Vec<u8>)> {
    let mut start = [0; 4];
    source.read_exact(&mut start).context("not a whole IDX file")?;
    let [0, 0, kind, axes] = start else {
        anyhow::bail!("not an IDX file");
    };
    ensure!(kind == 0x08, "IDX elements of type {kind:#04x}: only bytes (0x08) can be read");
    ensure!(axes > 0, "an IDX file without axes");
    let mut lengths = vec![0; 4 * usize::from(axes)];
    source.read_exact(&mut lengths).context("the lengths of the axes are cut off")?;
    let (lengths, _) = lengths.as_chunks();
    let shape: Vec<usize> = lengths.iter().map(|&n| u32::from_be_bytes(n) as usize).collect();
    let wanted = shape.iter().try_fold(1_u64, |product, &n| product.checked_mul(n as u64));
    let wanted = wanted
        .filter(|&wanted| wanted <= most)
        .with_context(|| format!("shape {shape:?} needs more bytes than the file can hold"))?;
    // One more than there should be, to notice data that do not end.
    let mut elements = Vec::new();
    source.take(wanted + 1).read_to_end(&mut elements).context("cannot unpack")?;
    ensure!(
        elements.len() as u64 == wanted,
        "{} elements, but shape {shape:?} has {wanted}",
        match elements.len() as u64 > wanted {
            true => "more".to_string(),
            false => elements.len().to_string(),
        }
    );
    Ok((shape, elements))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn idx(shape: &[u32], elements: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
        bytes.extend(elements);
        bytes
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn images_and_labels_are_read() {
        let images = idx(&[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(images[..4], [0, 0, 8, 3]);
        for bytes in [images.clone(), gz(&images)] {
            assert!(detect(&bytes));
            let (shape, elements) = read(&bytes).unwrap();
            assert_eq!(shape, [2, 2, 3]);
            assert_eq!(elements, (1..=12).collect::<Vec<u8>>());
        }
        assert_eq!(read(&idx(&[3], &[7, 8, 9])).unwrap(), (vec![3], vec![7, 8, 9]));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let good = idx(&[2, 2], &[1, 2, 3, 4]);
        for len in 0..good.len() {
            assert!(read(&good[..len]).is_err(), "{len}");
            assert!(read(&gz(&good[..len])).is_err(), "{len}");
        }
        let packed = gz(&good);
        for len in 0..packed.len() - 8 {
            assert!(read(&packed[..len]).is_err(), "{len}");
        }
        for bytes in [
            idx(&[2, 2], &[0; 5]),
            idx(&[], &[]),
            idx(&[u32::MAX; 255], &[0; 5]),
            idx(&[u32::MAX, 1000], &[0; 5]),
            [0, 0, 9, 1, 0, 0, 0, 1, 0].to_vec(),
        ] {
            assert!(read(&bytes).is_err());
            assert!(read(&gz(&bytes)).is_err());
        }
    }

    #[test]
    fn unpacking_stops_where_the_header_says() {
        let bomb = gz(&idx(&[10], &vec![0; 1 << 24]));
        let error = read(&bomb).unwrap_err().to_string();
        assert!(error.contains("more elements"), "{error}");
    }
}
