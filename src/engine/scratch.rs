//! The working memory of engines.

use alloc::format;
use alloc::vec::Vec;

use super::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::pack::{Line, try_aligned};
use crate::step::{Own, PerRow};

/// The working memory of an engine: what it needs beside input and output. One per thread that
/// calls [`Engine::run`].
#[derive(Debug)]
pub struct Scratch {
    /// One for each thread of the engine.
    pub(super) arenas: Vec<Arena>,
}

#[derive(Debug)]
pub(super) struct Arena {
    /// Steps read from some and write to another.
    pub buffers: Vec<Vec<Line>>,
    pub per_row: PerRow,
}

impl Engine {
    /// Working memory for [`Engine::run`] with any number of rows; as [`Engine::scratch_for`] makes it
    /// for [`Engine::chunk_rows`] rows, which an engine has been found to have room for.
    ///
    /// # Panics
    /// If the system has not so much memory.
    pub fn scratch(&self) -> Scratch {
        self.scratch_for(self.chunk)
    }

    /// Working memory in which `rows` rows fit at once. Only models with a layer that quantizes
    /// per tensor need to know: they take no more rows in a run.
    ///
    /// # Panics
    /// Where [`Engine::try_scratch_for`] gives an error: for a number of rows that comes from outside,
    /// call that.
    pub fn scratch_for(&self, rows: usize) -> Scratch {
        self.try_scratch_for(rows).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Working memory in which `rows` rows fit at once, for as many of the engine's threads as
    /// [`Limits::memory`](crate::Limits::memory) has room for.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if there is no room for one thread, or the system has not so much memory.
    pub fn try_scratch_for(&self, rows: usize) -> Result<Scratch> {
        let rows = rows.max(1);
        let bytes = self.check_scratch(rows)?;
        let threads = (self.limits.memory / bytes.max(1)).min(self.threads as u64);
        let arenas = (0..threads).map(|_| self.arena(rows)).collect::<Option<_>>();
        let failed = || {
            let message = format!("{threads} x {bytes} bytes of scratch cannot be had");
            Error::new(ErrorKind::Limit, message)
        };
        arenas.map(|arenas| Scratch { arenas }).ok_or_else(failed)
    }

    /// Bytes that a scratch for `rows` rows takes for each thread, if they are within the limit.
    pub(super) fn check_scratch(&self, rows: usize) -> Result<u64> {
        let bytes = || {
            let buffers = (self.row_bytes as u64).checked_mul(self.buffers as u64)?;
            let per_row = 4 * size_of::<u32>() as u64;
            let rows = buffers.checked_add(per_row)?.checked_mul(rows as u64)?;
            rows.checked_add(size_of::<u32>() as u64 * self.listed as u64)
        };
        let bytes = bytes();
        self.limits.check_memory(bytes, &format!("scratch for {rows} rows"))?;
        Ok(bytes.unwrap_or(u64::MAX))
    }

    /// `None` if the system has not so much memory.
    fn arena(&self, rows: usize) -> Option<Arena> {
        fn zeroed<T: bytemuck::Zeroable>(len: usize) -> Option<Vec<T>> {
            bytemuck::try_zeroed_vec(len).ok()
        }
        let buffer_bytes = rows.checked_mul(self.row_bytes)?;
        Some(Arena {
            buffers: (0..self.buffers).map(|_| try_aligned(buffer_bytes)).collect::<Option<_>>()?,
            per_row: PerRow {
                first: 0,
                scales: zeroed(rows)?,
                zero_points: zeroed(rows)?,
                sums: zeroed(rows)?,
                constants: zeroed(rows)?,
                own: Own { list: zeroed(self.listed)?, looked: 0 },
            },
        })
    }
}

impl Scratch {
    /// How many products max-product layers have looked at in this memory, in all runs so far: with
    /// an early exit there can be far fewer than the layers have.
    pub fn products_looked_at(&self) -> u64 {
        self.arenas.iter().map(|arena| arena.per_row.own.looked).sum()
    }
}

impl Arena {
    /// Whether so many rows fit. To find out how many takes a division, which a short run would
    /// notice.
    pub fn holds(&self, rows: usize, row_bytes: usize) -> bool {
        let bytes = rows.saturating_mul(row_bytes);
        rows <= self.per_row.sums.len() && bytes <= 64 * self.room()
    }

    /// How many rows fit.
    pub fn capacity(&self, row_bytes: usize) -> usize {
        let rows = self.per_row.sums.len();
        match row_bytes {
            0 => rows,
            _ => rows.min(64 * self.room() / row_bytes),
        }
    }

    /// Lines of a buffer.
    fn room(&self) -> usize {
        self.buffers.first().map_or(0, Vec::len)
    }
}
