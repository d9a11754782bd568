//! The rules of other engines, held to what those engines gave: for some quantizations, the digest
//! of the results for all values there are. Each was compared element by element, with hundreds more,
//! before it became a digest.
//!
//! Results under `Nearest` and of concat are those of ONNX Runtime 1.32, under `OnnxReference` those of
//! the reference evaluator of onnx 1.22, under `TfLite` those of TensorFlow Lite 2.14 (dense) and of
//! LiteRT 2.3 with its reference kernels, under `TfLiteReference` of the latter; on x86-64. No
//! engine that is distributed is built with single rounding: there they are those of the formula in
//! exact integers.

#[path = "../common/mod.rs"]
mod common;
mod models;

use models::{Of, Params, combine, concat, dense, results};
use signfold::Values;
use signfold::layers::Activation::{self, Clip, Identity, Relu, Relu6};
use signfold::layers::CombineOp::{self, Add, Max, Min, Mul, Sub};
use signfold::quant::Int8::{I8, U8};
use signfold::quant::Rounding::{
    self, Nearest, OnnxReference, TfLite, TfLiteReference, TfLiteSingleRounding,
};

type Pair = (CombineOp, Rounding, [Params; 3], Activation, u64);

/// Inputs, output, clamp.
#[rustfmt::skip]
const PAIRS: &[Pair] = &[
    (Add, Nearest, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x796e_77fa_bd8e_114e),
    (Add, Nearest, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 0.625, 222)], Identity, 0x02c1_2883_7cb7_01b5),
    (Add, Nearest, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0xa041_fa7a_5562_9bdb),
    (Mul, Nearest, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.013100049, 204)], Identity, 0xc4d7_3b53_402b_9250),
    (Mul, Nearest, [(I8, 0.010280807, -1), (I8, 0.014678722, -26), (I8, 0.2926434, 109)], Identity, 0x78d3_9df2_9a35_d048),
    (Mul, Nearest, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 2.34375, 222)], Identity, 0x508c_217c_b377_1ed0),
    (Add, OnnxReference, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x796e_77fa_bd8e_114e),
    (Add, OnnxReference, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0x5a8c_c968_c574_2b34),
    (Add, OnnxReference, [(U8, 2.4241521, 240), (U8, 0.022984315, 209), (U8, 0.18681848, 214)], Relu, 0xf87f_aaa2_99bf_ae56),
    (Sub, OnnxReference, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x41e6_b790_1bc4_dd86),
    (Sub, OnnxReference, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 0.625, 222)], Identity, 0x9b65_fd76_d80f_6482),
    (Sub, OnnxReference, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0x7704_ee1e_2a95_247c),
    (Sub, Nearest, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x41e6_b790_1bc4_dd86),
    (Sub, Nearest, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 0.625, 222)], Identity, 0x9b65_fd76_d80f_6482),
    (Sub, Nearest, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0x7704_ee1e_2a95_247c),
    (Mul, OnnxReference, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x5015_710d_757c_e624),
    (Mul, OnnxReference, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 0.625, 222)], Identity, 0x21b0_8f09_b74f_438a),
    (Mul, OnnxReference, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0x2560_b7d0_a44b_ba42),
    (Max, OnnxReference, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x1716_ea15_dedc_aeba),
    (Max, OnnxReference, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 0.625, 222)], Identity, 0xa37e_6ad5_1d95_59ca),
    (Max, OnnxReference, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0xd316_e075_0b87_15cf),
    (Max, Nearest, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x1716_ea15_dedc_aeba),
    (Max, Nearest, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 0.625, 222)], Identity, 0xa37e_6ad5_1d95_59ca),
    (Max, Nearest, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0xd316_e075_0b87_15cf),
    (Min, OnnxReference, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x545f_5de1_7c13_41be),
    (Min, OnnxReference, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 0.625, 222)], Identity, 0xddbe_1c82_cf23_6c1e),
    (Min, OnnxReference, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0x95b8_8cd5_bfaf_8f6c),
    (Min, Nearest, [(U8, 0.2488239, 34), (U8, 0.008003583, 32), (U8, 0.016367732, 204)], Identity, 0x545f_5de1_7c13_41be),
    (Min, Nearest, [(U8, 0.125, 250), (U8, 0.375, 159), (U8, 0.625, 222)], Identity, 0xddbe_1c82_cf23_6c1e),
    (Min, Nearest, [(I8, 0.15625, -58), (I8, 0.078125, 91), (I8, 0.375, -93)], Identity, 0x95b8_8cd5_bfaf_8f6c),
    (Add, TfLite, [(I8, 0.125, 33), (I8, 0.10696339, 51), (I8, 0.0625, 117)], Identity, 0x26f6_d896_b061_1a06),
    (Add, TfLite, [(I8, 0.006252383, -49), (I8, 0.1076296, -1), (I8, 0.025478784, 46)], Relu, 0xa9f1_df4f_3278_bb80),
    (Add, TfLite, [(I8, 4.4757817e-5, 120), (I8, 0.00024193077, 40), (I8, 3.0517578e-5, -104)], Relu6, 0x6008_ad05_ffef_621b),
    (Add, TfLiteSingleRounding, [(I8, 0.125, 33), (I8, 0.10696339, 51), (I8, 0.0625, 117)], Identity, 0x26f6_d896_b061_1a06),
    (Add, TfLiteSingleRounding, [(I8, 0.006252383, -49), (I8, 0.1076296, -1), (I8, 0.025478784, 46)], Relu, 0xa9f1_df4f_3278_bb80),
    (Add, TfLiteSingleRounding, [(I8, 4.4757817e-5, 120), (I8, 0.00024193077, 40), (I8, 3.0517578e-5, -104)], Relu6, 0x6008_ad05_ffef_621b),
    (Sub, TfLite, [(I8, 0.125, 72), (I8, 0.0009765625, -72), (I8, 0.6377194, -62)], Identity, 0x207f_5715_aa77_8894),
    (Sub, TfLite, [(I8, 0.00014029244, -70), (I8, 0.10070151, 94), (I8, 0.0625, -71)], Clip { min: -1.0, max: 1.0 }, 0x46ca_0d47_d242_0f16),
    (Sub, TfLite, [(I8, 0.0008241549, -27), (I8, 0.0625, 71), (I8, 0.059168983, 8)], Relu, 0xbcdc_b812_c645_a2e3),
    (Sub, TfLiteSingleRounding, [(I8, 0.125, 72), (I8, 0.0009765625, -72), (I8, 0.6377194, -62)], Identity, 0x207f_5715_aa77_8894),
    (Sub, TfLiteSingleRounding, [(I8, 0.00014029244, -70), (I8, 0.10070151, 94), (I8, 0.0625, -71)], Clip { min: -1.0, max: 1.0 }, 0x46ca_0d47_d242_0f16),
    (Sub, TfLiteSingleRounding, [(I8, 0.0008241549, -27), (I8, 0.0625, 71), (I8, 0.059168983, 8)], Relu, 0xbcdc_b812_c645_a2e3),
    (Mul, TfLite, [(I8, 0.021209823, -81), (I8, 0.005037182, 76), (I8, 0.00012207031, -8)], Identity, 0x1c50_3d03_3476_7dd6),
    (Mul, TfLite, [(I8, 2.0, -123), (I8, 0.0625, 37), (I8, 4.0, 30)], Relu, 0xf13b_250f_9f38_219d),
    (Mul, TfLite, [(I8, 0.0009765625, 64), (I8, 0.001953125, -6), (I8, 0.0001514366, 77)], Relu6, 0xdceb_97ce_2c87_d28b),
    (Mul, TfLiteSingleRounding, [(I8, 0.021209823, -81), (I8, 0.005037182, 76), (I8, 0.00012207031, -8)], Identity, 0x1c50_3d03_3476_7dd6),
    (Mul, TfLiteSingleRounding, [(I8, 2.0, -123), (I8, 0.0625, 37), (I8, 4.0, 30)], Relu, 0x0d87_97c6_e7eb_f9c6),
    (Mul, TfLiteSingleRounding, [(I8, 0.0009765625, 64), (I8, 0.001953125, -6), (I8, 0.0001514366, 77)], Relu6, 0xf20f_0ecb_e042_d060),
];

/// A weight scale, whether each output has its own, whether there is a bias, a clamp.
type Rest = (f32, bool, bool, Activation);

/// Input, output, and the rest.
#[rustfmt::skip]
const DENSE: &[(Rounding, [Params; 2], Rest, u64)] = &[
    (Nearest, [(U8, 0.045380335, 138), (U8, 0.23945472, 27)], (0.048548743, false, false, Identity), 0xec4b_2c91_7c9c_87fa),
    (Nearest, [(I8, 0.25, -77), (I8, 0.03125, 30)], (0.125, false, false, Identity), 0x9389_a83d_e1b8_1f8c),
    (Nearest, [(U8, 0.125, 225), (U8, 1.0, 209)], (0.015625, true, false, Identity), 0x9a47_ef55_cdaa_1fe2),
    (Nearest, [(I8, 0.093635954, 67), (I8, 0.14606747, -39)], (0.01678294, true, false, Identity), 0x8dd8_d804_eddd_53b9),
    (OnnxReference, [(U8, 0.045380335, 138), (U8, 0.23945472, 27)], (0.048548743, false, false, Identity), 0xec4b_2c91_7c9c_87fa),
    (OnnxReference, [(I8, 0.25, -77), (I8, 0.03125, 30)], (0.125, false, false, Identity), 0x9389_a83d_e1b8_1f8c),
    (OnnxReference, [(U8, 0.125, 225), (U8, 1.0, 209)], (0.015625, true, false, Identity), 0x6db1_52b6_b29c_a520),
    (OnnxReference, [(I8, 0.093635954, 67), (I8, 0.14606747, -39)], (0.01678294, true, false, Identity), 0x8dd8_d804_eddd_53b9),
    (TfLiteReference, [(I8, 0.035230972, 104), (I8, 0.24517423, -42)], (0.081118666, false, true, Identity), 0x4589_42f4_e6d1_d843),
    (TfLiteReference, [(I8, 0.25, -7), (I8, 4.0, 111)], (0.25, false, true, Relu), 0xf382_c721_2105_b34b),
    (TfLiteReference, [(I8, 0.041836668, -52), (I8, 0.0015784322, -31)], (0.08935527, false, true, Clip { min: -1.0, max: 1.0 }), 0x5d4b_c3a3_97a5_facc),
    (TfLiteReference, [(I8, 0.0078125, 26), (I8, 3.0517578e-5, -119)], (0.00390625, true, true, Relu), 0x4503_f90b_6c6c_2282),
    (TfLite, [(I8, 0.035230972, 104), (I8, 0.24517423, -42)], (0.081118666, false, true, Identity), 0x6e6c_5a75_0e1b_457d),
    (TfLite, [(I8, 0.25, -7), (I8, 4.0, 111)], (0.25, false, true, Relu), 0xa6cd_b506_af35_43ed),
    (TfLite, [(I8, 0.041836668, -52), (I8, 0.0015784322, -31)], (0.08935527, false, true, Clip { min: -1.0, max: 1.0 }), 0x5d4b_c3a3_97a5_facc),
    (TfLite, [(I8, 0.0078125, 26), (I8, 3.0517578e-5, -119)], (0.00390625, true, true, Relu), 0x4503_f90b_6c6c_2282),
    (TfLiteSingleRounding, [(I8, 0.035230972, 104), (I8, 0.24517423, -42)], (0.081118666, false, true, Identity), 0x4589_42f4_e6d1_d843),
    (TfLiteSingleRounding, [(I8, 0.25, -7), (I8, 4.0, 111)], (0.25, false, true, Relu), 0xf382_c721_2105_b34b),
    (TfLiteSingleRounding, [(I8, 0.041836668, -52), (I8, 0.0015784322, -31)], (0.08935527, false, true, Clip { min: -1.0, max: 1.0 }), 0x5d4b_c3a3_97a5_facc),
    (TfLiteSingleRounding, [(I8, 0.0078125, 26), (I8, 3.0517578e-5, -119)], (0.00390625, true, true, Relu), 0x4503_f90b_6c6c_2282),
];

/// Inputs, output.
#[rustfmt::skip]
const CONCAT: &[([Params; 3], u64)] = &[
    ([(U8, 0.5718704, 41), (U8, 0.01404344, 135), (U8, 0.01404344, 135)], 0x672b_7765_e5da_12c6),
    ([(I8, 0.63618237, -38), (I8, 2.2505593, 79), (I8, 1.4952371, -125)], 0xb766_0117_546c_4747),
    ([(U8, 2.0, 216), (U8, 0.01953125, 111), (U8, 0.01953125, 220)], 0x7d4e_51bb_6132_08c3),
];

#[track_caller]
fn check(got: &Values<'_>, wanted: u64, what: impl std::fmt::Debug) {
    assert_eq!(got.digest(), wanted, "{:#018x}, not {wanted:#018x}: {what:?}", got.digest());
}

#[test]
fn pairs() {
    for &(op, rule, of, clamp, wanted) in PAIRS {
        check(&results(&combine(op, rule, of, clamp)), wanted, (op, rule, of, clamp));
    }
}

#[test]
fn sums_of_dense_layers() {
    for &(rule, of, (weight_scale, each, bias, clamp), wanted) in DENSE {
        let rest = Of { weight_scale, each, bias, clamp };
        check(&results(&dense(rule, of, rest)), wanted, (rule, of, weight_scale, each, clamp));
    }
}

#[test]
fn concatenations() {
    for &(of, wanted) in CONCAT {
        check(&results(&concat(of)), wanted, of);
    }
}
