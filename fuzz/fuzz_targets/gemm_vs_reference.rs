//! Any shape, any bytes: every kernel's sums are those of the naive loops.
//!
//! The input is m, n, k, and the elements of both matrices, from the start again when they end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signfold::{PackedMatrix, kernels};

fuzz_target!(|bytes: &[u8]| {
    let [m, n, k, elements @ ..] = bytes else { return };
    if elements.is_empty() {
        return;
    }
    let (m, n, k) = (usize::from(m % 32), 1 + usize::from(n % 80), 1 + usize::from(*k));
    let mut elements = elements.iter().map(|&byte| byte as i8).cycle();
    let x: Vec<i8> = elements.by_ref().take(m * k).collect();
    let w: Vec<i8> = elements.take(n * k).collect();
    let wanted = kernels::reference::sums(&x, &w, k, 0, &vec![0; n]);
    for kernel in kernels::available() {
        let packed = PackedMatrix::new(kernel, &w, n, k).expect("n x k weights");
        let mut sums = vec![0; m * n];
        packed.matmul(&x, &mut sums).expect("m rows");
        let same = sums.iter().map(|&sum| i64::from(sum)).eq(wanted.iter().copied());
        assert!(same, "{m} x {n} x {k}, {}", kernel.name());
    }
});
