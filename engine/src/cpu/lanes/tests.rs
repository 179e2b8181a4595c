//! Lanes against scalar arithmetic: how exact `exp` is, and that every instruction set gives the same bits.

use super::*;

/// Runs `exp` over whole vectors.
struct ExpOf<'a>(&'a [[f32; LANES]], &'a mut [[f32; LANES]]);

impl Kernel for ExpOf<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        self.0.iter().zip(self.1).for_each(|(x, out)| *out = exp(L::load(x)).to_array());
    }
}

fn exp_on(isa: Isa, inputs: &[[f32; LANES]]) -> Vec<[f32; LANES]> {
    let mut out = vec![[0.0; LANES]; inputs.len()];
    isa.run(ExpOf(inputs, &mut out));
    out
}

#[test]
fn exp_is_within_two_units_of_the_last_place() {
    let inputs: Vec<[f32; LANES]> =
        (0..20_000).map(|i| std::array::from_fn(|lane| -87.0 + 175.0 * (i * 16 + lane) as f32 / 320_000.0)).collect();
    for isa in Isa::available() {
        for (x, y) in inputs.as_flattened().iter().zip(exp_on(isa, &inputs).as_flattened()) {
            let exact = f64::from(*x).exp();
            let unit = f64::from(f32::EPSILON) * exact;
            assert!((f64::from(*y) - exact).abs() <= 2.0 * unit, "{isa:?}: e^{x} is {exact}, not {y}");
        }
    }
}

#[test]
fn exp_ends_at_zero_below_and_stays_finite_above() {
    for isa in Isa::available() {
        let out = exp_on(isa, &[std::array::from_fn(|lane| [f32::NEG_INFINITY, -87.1, 1e30, 0.0][lane % 4])]);
        assert_eq!(out[0][..2], [0.0, 0.0], "{isa:?}");
        assert!(out[0][2].is_finite() && out[0][3] == 1.0, "{isa:?}");
    }
}

/// Every operation once, so that implementations can be compared bit by bit.
struct Everything<'a> {
    floats: &'a [[f32; LANES]; 3],
    bytes: &'a [u8; 4 * LANES],
    out: &'a mut Vec<u32>,
}

impl Kernel for Everything<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        let [a, b, c] = self.floats.map(|values| L::load(&values));
        let halves: &[u8; 2 * LANES] = self.bytes.first_chunk().expect("64 bytes hold 32");
        let four = [-128, -128, 127, -1];
        let bytes = L::bytes(self.bytes);
        let results = [
            a.add(b),
            a.sub(b),
            a.mul(b),
            a.div(b),
            a.fma(b, c),
            a.min(b),
            a.max(b),
            a.abs(),
            a.round(),
            a.scale(b.round()),
            a.where_at_least(b, 0.25),
            exp(a),
            L::load_f16(halves),
            L::load_bf16(halves),
            L::to_floats(L::dot(L::ints(-7), bytes, four)),
            L::to_floats(L::dot_nibbles(L::ints(-7), L::low_nibbles(bytes), four)),
            L::to_floats(L::dot_nibbles(L::ints(-7), L::high_nibbles(bytes), four)),
            L::to_floats(L::join_bytes(L::ints(-3), L::ints(100))),
            L::splat(a.reduce_sum()),
            L::splat(a.reduce_max()),
        ];
        self.out.extend(results.iter().flat_map(|lanes| lanes.to_array()).map(f32::to_bits));
        let (high, low, sum) = a.mul(L::splat(1000.0)).to_byte_pairs();
        self.out.extend(high.into_iter().chain(low).map(|byte| byte as u32));
        self.out.push(sum as u32);
    }
}

/// Splits one vector into bytes.
struct Split<'a>([f32; LANES], &'a mut ([i8; LANES], [i8; LANES], i32));

impl Kernel for Split<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        *self.1 = L::load(&self.0).to_byte_pairs();
    }
}

#[test]
fn byte_pairs_join_to_the_nearest_integers() {
    let values: [f32; LANES] =
        std::array::from_fn(|lane| [32_512.0, -32_512.0, 127.5, 128.5, -128.5, 0.5, -0.4, 32_511.6][lane % 8]);
    for isa in Isa::available() {
        let mut out = Default::default();
        isa.run(Split(values, &mut out));
        let joined: [i32; LANES] = std::array::from_fn(|lane| 256 * i32::from(out.0[lane]) + i32::from(out.1[lane]));
        assert_eq!(joined[..8], [32_512, -32_512, 128, 128, -128, 0, 0, 32_512], "{isa:?}");
        assert_eq!(out.2, joined.iter().sum::<i32>(), "{isa:?}");
    }
}

#[test]
fn every_implementation_gives_the_same_bits() {
    let noise = crate::quant::testing::noise(5, 3 * LANES);
    let floats: [[f32; LANES]; 3] = std::array::from_fn(|k| std::array::from_fn(|i| noise[k * LANES + i] * 30.0));
    // Bytes of finite halves: the high byte of each pair keeps clear of the all-ones exponents.
    let bytes: [u8; 4 * LANES] = std::array::from_fn(|i| (i * 37 % if i % 2 == 1 { 0x70 } else { 0x100 }) as u8);
    let run = |isa: Isa| {
        let mut out = Vec::new();
        isa.run(Everything { floats: &floats, bytes: &bytes, out: &mut out });
        out
    };
    let expected = run(Isa::PORTABLE);
    for isa in Isa::available() {
        assert_eq!(run(isa), expected, "{isa:?}");
    }
}
