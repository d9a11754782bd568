//! Tables of numbers as text: a row per line, cells parted by commas, semicolons or tabs.
//!
//! A first line of names is passed over, as are lines that are empty or begin with `#`.

use std::io::Read;
use std::path::Path;

use ::csv::{ByteRecord, ReaderBuilder, Trim};
use anyhow::{Context, Result, bail, ensure};
use signfold::Limits;

/// Bytes in which the first line tells what parts its cells.
const PEEKED: u64 = 1 << 16;

/// Whether a file of this name is such a table, packed or not.
pub fn is_named(path: &Path) -> bool {
    let is = |path: &Path, of: &[&str]| {
        path.extension().is_some_and(|found| of.iter().any(|&e| found.eq_ignore_ascii_case(e)))
    };
    let unpacked = if is(path, &["gz"]) { path.with_extension("") } else { path.to_path_buf() };
    is(&unpacked, &["csv", "tsv", "txt"])
}

/// The number of rows and that of columns, and the numbers. The source gives no more than `most`
/// bytes.
pub fn read(mut source: impl Read, most: u64, limits: &Limits) -> Result<(Vec<usize>, Vec<f64>)> {
    let mut start = Vec::new();
    source.by_ref().take(PEEKED).read_to_end(&mut start).context("cannot read")?;
    let mut text = start.chain(source).take(most.saturating_add(1));
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(&start))
        .comment(Some(b'#'))
        .trim(Trim::All)
        .has_headers(false)
        .flexible(true)
        .from_reader(&mut text);
    let (mut numbers, mut width, mut names) = (Vec::new(), None, false);
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).context("cannot read the table")? {
        let line = record.position().map_or(0, |position| position.line());
        let first = !names && width.is_none();
        if first && record.iter().all(|cell| number(cell).is_none()) {
            names = true;
            continue;
        }
        let width = *width.get_or_insert(record.len());
        ensure!(
            record.len() == width,
            "line {line} has {} cells, the lines before it {width}",
            record.len()
        );
        // A number takes more room than its text.
        let bytes = 8 * (numbers.len() + width) as u64;
        limits.check_memory(Some(bytes), "a table's numbers")?;
        for (column, cell) in record.iter().enumerate() {
            let Some(number) = number(cell) else {
                let cell = String::from_utf8_lossy(&cell[..cell.len().min(40)]).into_owned();
                bail!("line {line}, column {column}: {cell:?} is not a number");
            };
            numbers.push(number);
        }
    }
    if text.limit() == 0 {
        limits.check_memory(most.checked_add(1), "text")?;
        bail!("more than {most} bytes of text");
    }
    let width = width.context("a table without numbers")?;
    Ok((vec![numbers.len() / width, width], numbers))
}

fn number(cell: &[u8]) -> Option<f64> {
    str::from_utf8(cell).ok()?.parse().ok()
}

/// What parts the cells of the first line that has any.
fn delimiter(start: &[u8]) -> u8 {
    let mut lines = start.split(|&byte| byte == b'\n');
    let line = lines.find(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#"));
    let has = |delimiter: &u8| line.is_some_and(|line| line.contains(delimiter));
    [b'\t', b';'].into_iter().find(has).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<(Vec<usize>, Vec<f64>)> {
        read(text.as_bytes(), text.len() as u64, &Limits::default())
    }

    #[test]
    fn separators_names_and_remarks() {
        for text in [
            "1,2.5\n-3,4e2\n",
            "1;2.5\n-3;4e2",
            "1\t2.5\r\n-3\t4e2\r\n",
            "a,b\n1,2.5\n-3,4e2\n",
            "# x, y\n\n 1 , 2.5\n#\n\n-3 ,\"4e2\"\n\n",
            "\u{feff}1,2.5\n-3,4e2\n",
        ] {
            assert_eq!(table(text).unwrap(), (vec![2, 2], vec![1.0, 2.5, -3.0, 400.0]), "{text:?}");
        }
        assert_eq!(table("y\n1\n2\n3").unwrap(), (vec![3, 1], vec![1.0, 2.0, 3.0]));
    }

    #[test]
    fn what_is_no_table_of_numbers_is_an_error() {
        for (text, expected) in [
            ("", "without numbers"),
            ("a,b\n", "without numbers"),
            ("1,2\n3\n", "line 2 has 1 cells"),
            ("a,b\nc,d\n1,2\n", "line 2, column 0: \"c\""),
            ("1,2\n3,\n", "line 2, column 1: \"\""),
            ("1,2\n3,4x\n", "\"4x\" is not"),
            ("1,x\n", "\"x\" is not"),
            ("1 2\n3 4\n", "\"3 4\" is not"),
        ] {
            let error = table(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(table("\u{ff}\u{fe}1,2\n3,4\n").is_err());
    }

    #[test]
    fn text_that_does_not_end_is_an_error() {
        let mut endless = std::io::repeat(b'1');
        let read = |source: &mut dyn Read, most| read(source, most, &Limits::default());
        assert!(read(&mut endless, 1000).unwrap_err().to_string().contains("1000"));
        let text = "1,2\n3,4\n";
        assert!(read(&mut text.as_bytes(), 7).is_err());
        assert!(read(&mut text.as_bytes(), 8).is_ok());
    }

    #[test]
    fn names_tell_tables() {
        for (name, is) in
            [("x.csv", true), ("x.TSV.gz", true), ("x.txt", true), ("csv", false), ("x.gz", false)]
        {
            assert_eq!(is_named(Path::new(name)), is, "{name}");
        }
    }
}
