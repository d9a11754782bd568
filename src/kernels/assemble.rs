//! A kernel of its products: all loops, for their vectors.

use super::sum::by_blocks::{MatrixUnit, by_blocks, unit_peak};
use super::trial::Trial;
use super::vector::{Broadcast, Direct, Op, Product, Vector};
use super::{
    GROUP, Kernel, Loops, edges, exp, float, map, max, pack, peak, proven, requantize, rows, sum,
};

/// The vectors of loops without products.
type Base<P> = <<P as Product>::Vector as Vector>::Base;

/// A kernel with one product for all shapes.
pub(super) const fn one<P: Broadcast + Direct>(name: &'static str) -> Kernel {
    two::<P, P>(name)
}

/// A kernel with one product for lanes that are outputs, one for lanes that are inputs.
pub(super) const fn two<P: Broadcast, D: Direct<Vector = P::Vector>>(name: &'static str) -> Kernel {
    const { assert!(Base::<P>::LANES == P::Vector::LANES, "loops have the same lanes") };
    const { assert!((P::VECTORS * P::WEIGHT_BYTES).is_multiple_of(64), "panels are whole lines") };
    const { assert!(P::TECHNIQUE.flip() == D::TECHNIQUE.flip(), "rows have one form") };
    Kernel {
        name,
        lanes: P::Vector::LANES,
        vectors: P::VECTORS,
        rows: P::ROWS,
        inputs: GROUP,
        needs: P::Vector::NEEDS,
        trial: None,
        by_outputs: loops::<P>(),
        by_inputs: loops::<D>(),
        sum_by_outputs: sum::by_outputs::<P>,
        sum_by_inputs: sum::by_inputs::<D>,
        pack_by_outputs: pack::pack_by_outputs::<P>,
        pack_by_inputs: pack::pack_by_inputs::<D>,
        prepare: if size_of::<P::Group>() > GROUP { Some(prepare::<P>) } else { None },
        group_bytes: size_of::<P::Group>(),
        quantize: edges::quantize::<Base<P>>,
        dequantize: edges::dequantize::<Base<P>>,
        range: rows::range::<Base<P>>,
        argmax: rows::argmax::<Base<P>>,
        argmax_bytes: rows::argmax_bytes::<Base<P>>,
        map: map::map::<Base<P>>,
        look_up: map::look_up::<Base<P>>,
        requantize: requantize::requantize::<Base<P>>,
        softmax: exp::softmax::<Base<P>>,
        max_prepare: max::prepare::<Base<P>>,
        max_products: max::products::<Base<P>>,
        max_pruned: max::pruned::<Base<P>>,
        float_sums: float::sums::<Base<P>>,
        #[cfg(test)]
        exps: exp::exps::<Base<P>>,
        peak: peak::peak::<P>,
        max_peak: max::peak::<Base<P>>,
        float_peak: float::peak::<Base<P>>,
        read: peak::read::<Base<P>>,
    }
}

/// A kernel of the product `P` that multiplies whole blocks with a matrix unit.
#[allow(dead_code, reason = "few architectures have a matrix unit")]
pub(super) const fn with_unit<P: Broadcast, M: MatrixUnit<P>>(kernel: Kernel) -> Kernel {
    Kernel {
        rows: M::ROWS,
        inputs: M::INPUTS,
        needs: M::NEEDS,
        sum_by_outputs: by_blocks::<P, M>,
        peak: unit_peak::<P, M>,
        ..kernel
    }
}

/// The same kernel, but for use only where it passes a trial.
#[allow(dead_code, reason = "few kernels need one")]
pub(super) const fn on_trial(kernel: Kernel, trial: &'static Trial) -> Kernel {
    Kernel { trial: Some(trial), ..kernel }
}

const fn loops<P: Product>() -> Loops {
    Loops { technique: P::TECHNIQUE, operations: P::OPERATIONS, weight_bytes: P::WEIGHT_BYTES }
}

/// A [`Prepare`].
fn prepare<P: Broadcast>(row: &[u8], prepared: &mut [u8]) -> i32 {
    struct Prepare<'a, P: Broadcast> {
        row: &'a [u8],
        prepared: &'a mut [P::Group],
    }
    impl<P: Broadcast> Op<P::Vector> for Prepare<'_, P> {
        type Output = i32;

        #[inline(always)]
        fn run(self, vector: P::Vector) -> i32 {
            P::prepare(vector, self.row, self.prepared)
        }
    }
    let prepared = bytemuck::cast_slice_mut(prepared);
    proven::<P::Vector>().vectorize(Prepare::<P> { row, prepared })
}
