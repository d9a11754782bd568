//! [`Model::winners`] against a search of its own kind, and against the outputs.

use signfold::layers::{
    Activation, Aggregate, Argmax, Dense, DenseInput, Dequantize, MaxProduct, Quantize,
};
use signfold::quant::QuantParams;
use signfold::{ErrorKind, Model, TensorType, Values, WeightLayout};

use super::rows::{floats, integers, mixed_batch, reals};
use super::{model_of, zero_points};
use crate::common::{AGGREGATES, Rng, cases, random_max_product};

/// The input of the product that comes first in an order; of equal ones the lowest.
fn best(products: &[(usize, i32)], key: impl Fn(i32) -> i32) -> u32 {
    let Some(most) = products.iter().map(|&(_, p)| key(p)).max() else { return u32::MAX };
    products.iter().filter(|&&(_, p)| key(p) == most).map(|&(k, _)| k as u32).min().expect("one")
}

#[test]
fn winners_are_those_of_a_search_and_give_the_outputs() {
    let rng = &mut Rng::new(10);
    for case in 0..cases() {
        let (inputs, outputs) = (1 + rng.below(50), 1 + rng.below(20));
        let of = rng.pick(&zero_points());
        let params = QuantParams::new(of.kind(), 1.0, of.zero_point()).expect("valid");
        let input = TensorType::int8(inputs, params);
        let rows = mixed_batch(rng, &params, inputs, 6);
        for aggregate in AGGREGATES.into_iter().filter(|&a| a != Aggregate::Mean) {
            let layer = random_max_product(rng, &input, aggregate, outputs)
                .weight_scales(vec![1.0])
                .bias(Default::default())
                .activation(Activation::Identity)
                .output(Default::default());
            let model = model_of(input, layer.clone());
            let found = model.winners(0, &rows).expect("8-bit rows");
            let splits = layer.split_count();
            let block = inputs.div_ceil(splits);
            let each = aggregate.winners();
            assert_eq!(found.len(), 6 * outputs * splits * each, "case {case}");
            let real = floats(&model.reference(&rows).expect("8-bit rows"));
            let mut found = found.chunks(each);
            for (r, row) in integers(&rows).chunks(inputs).enumerate() {
                let product = |(k, w): (usize, i8)| (row[k] - params.zero_point()) * i32::from(w);
                for n in 0..outputs {
                    let mut sum = 0;
                    for split in 0..splits {
                        let products: Vec<(usize, i32)> = layer
                            .connections(n)
                            .filter(|(k, _)| (split * block..(split + 1) * block).contains(k))
                            .map(|(k, w)| (k, product((k, w))))
                            .collect();
                        let wanted = match aggregate {
                            Aggregate::Max => vec![best(&products, |p| p)],
                            Aggregate::Min => vec![best(&products, |p| -p)],
                            Aggregate::Mam => {
                                vec![best(&products, |p| p), best(&products, |p| -p)]
                            }
                            _ => vec![best(&products, i32::abs)],
                        };
                        let found = found.next().expect("as many as there must be");
                        assert_eq!(found, wanted, "case {case}, row {r}, output {n}: {layer:?}");
                        let of = |&&winner: &&u32| winner != u32::MAX;
                        let value = |&winner: &u32| {
                            let mut each = layer.connections(n);
                            product(each.find(|&(k, _)| k == winner as usize).expect("connected"))
                        };
                        sum += found.iter().filter(of).map(value).sum::<i32>();
                    }
                    if !matches!(aggregate, Aggregate::SoftAbsMax { .. }) {
                        let got = real[r * outputs + n];
                        assert_eq!(got, sum as f32, "case {case}, row {r}, output {n}: {layer:?}");
                    }
                }
            }
        }
    }
}

/// Winners do not depend on how rows come: quantized before or on arrival, with the same numbers.
#[test]
fn winners_of_inner_layers() {
    let rng = &mut Rng::new(11);
    let params = QuantParams::new(signfold::quant::Int8::U8, 1.0, 0).expect("valid");
    let dense = Dense::new(rng.vec(35, Rng::i8), WeightLayout::OutIn, 5, 7).expect("5 x 7");
    let weights = rng.vec(15, Rng::i8);
    let layer = MaxProduct::new(Aggregate::AbsMax, weights, WeightLayout::OutIn, 3, 5);
    let layer = layer.expect("as many as needed");
    let rows = mixed_batch(rng, &params, 7, 9);
    let first = Model::builder("", TensorType::int8(7, params)).layer(dense);
    let inner = rng.pick(&zero_points());
    let inner = QuantParams::new(inner.kind(), 900.0, inner.zero_point()).expect("valid");
    let whole = first
        .clone()
        .layer(Quantize { output: inner })
        .layer(layer.clone())
        .layer(Argmax)
        .build()
        .expect("they fit");
    let before = first.layer(Quantize { output: inner }).build().expect("they fit");
    let between = before.reference(&rows).expect("8-bit rows");
    let alone = model_of(TensorType::int8(5, inner), layer);
    assert_eq!(
        whole.winners(2, &rows).expect("8-bit rows"),
        alone.winners(0, &between).expect("8-bit rows")
    );
}

#[test]
fn winners_of_rows_quantized_on_arrival() {
    let rng = &mut Rng::new(12);
    for aggregate in AGGREGATES.into_iter().filter(|&a| a != Aggregate::Mean) {
        // The whole range of a type, so that quantizing finds the integers again.
        let params = zero_points()[3];
        let mut rows = integers(&mixed_batch(rng, &params, 9, 8));
        rows.chunks_mut(9).for_each(|row| (row[2], row[7]) = (-128, 127));
        let rows = super::batch(&params, &rows);
        let weights = rng.vec(9 * 4, Rng::i8);
        let layer = MaxProduct::new(aggregate, weights, WeightLayout::OutIn, 4, 9);
        let layer = layer.expect("as many as needed");
        let wanted = model_of(TensorType::int8(9, params), layer.clone()).winners(0, &rows);
        for input in [DenseInput::PerRow, DenseInput::PerTensor] {
            let model = model_of(TensorType::f32(9), layer.clone().input(input));
            assert_eq!(model.winners(0, &reals(&params, &rows)), wanted, "{aggregate:?}");
        }
    }
}

#[test]
fn what_has_no_winners_is_refused() {
    let params = zero_points()[0];
    let mean = MaxProduct::new(Aggregate::Mean, vec![1; 6], WeightLayout::OutIn, 2, 3);
    let model = Model::builder("", TensorType::int8(3, params))
        .layer(mean.expect("as many as needed"))
        .layer(Argmax)
        .build()
        .expect("they fit");
    let rows = Values::from(vec![1_i8; 6]);
    for (layer, says) in [(0, "mean"), (1, "layer 1"), (2, "layer 2"), (usize::MAX, "2 layers")] {
        let error = model.winners(layer, &rows).expect_err("it has none");
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains(says), "{error}");
    }
    let hard = MaxProduct::new(Aggregate::Max, vec![1; 6], WeightLayout::OutIn, 2, 3);
    let model = model_of(TensorType::int8(3, params), hard.expect("as many as needed"));
    assert!(model.winners(0, &Values::from(vec![1_i8; 7])).is_err(), "no whole rows");
    assert!(model.winners(0, &Values::from(vec![1.0; 6])).is_err(), "of another type");
    assert_eq!(model.winners(0, &Values::from(vec![0_i8; 0])), Ok(vec![]), "no rows");
    let real = Model::builder("", TensorType::int8(3, params)).layer(Dequantize).build();
    assert!(real.expect("it fits").winners(0, &rows).is_err(), "of another kind");
}
