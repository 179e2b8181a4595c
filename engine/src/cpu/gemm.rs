//! Matrix products by the kernels of the `gemm` crates, with the instruction set that the caller names.
//!
//! `gemm::gemm` picks the processor's best by itself and offers no other choice, so this calls the generic driver that it
//! calls, with the kernels of each instruction set. Owns nothing else: shapes and strides are its caller's.

use gemm_common::simd::{MixedSimd, Scalar};
#[cfg(target_arch = "x86_64")]
use gemm_common::simd::{V3, V4};
use gemm_common::{Parallelism, gemm::gemm_basic_generic, microkernel::HMicroKernelFn, microkernel::MicroKernelFn};
use gemm_f32::microkernel;

use crate::isa::{Isa, Level};

/// A matrix by its first element and the distances between neighbouring columns and rows.
#[derive(Clone, Copy)]
pub(super) struct Matrix<P> {
    pub start: P,
    pub column: isize,
    pub row: isize,
}

/// `out[m, n]` = (or +=) `left[m, k] x right[k, n]`.
#[derive(Clone, Copy)]
pub(super) struct Product {
    pub sizes: (usize, usize, usize),
    pub out: Matrix<*mut f32>,
    pub left: Matrix<*const f32>,
    pub right: Matrix<*const f32>,
    pub add: bool,
}

impl Product {
    /// Computes it on the rayon pool of the caller.
    ///
    /// # Safety
    /// Every element that sizes and strides reach lies in memory that is valid for the time of the call, and no other
    /// thread and neither operand touches that of `out`. Strides are positive.
    pub(super) unsafe fn run(self, isa: Isa) {
        // The kernels write columns: a row-major result is the transposed product of the transposed matrices.
        let product = if self.out.column < self.out.row { self.transposed() } else { self };
        // SAFETY: the caller's promise, and `isa` says that the machine has the instructions.
        unsafe {
            match isa.level() {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 | Level::Avx512Vnni => {
                    use microkernel::avx512f::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
                    product.drive::<V4, 16, { 16 * MR_DIV_N }, NR, MR_DIV_N, H_M, H_N>(&UKR, &H_UKR);
                }
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => {
                    use microkernel::fma::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
                    product.drive::<V3, 8, { 8 * MR_DIV_N }, NR, MR_DIV_N, H_M, H_N>(&UKR, &H_UKR);
                }
                #[cfg(target_arch = "aarch64")]
                _ => {
                    use microkernel::neon::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
                    product.drive::<Scalar, 4, { 4 * MR_DIV_N }, NR, MR_DIV_N, H_M, H_N>(&UKR, &H_UKR);
                }
                #[cfg(not(target_arch = "aarch64"))]
                _ => {
                    use microkernel::scalar::f32::{H_M, H_N, H_UKR, MR_DIV_N, NR, UKR};
                    product.drive::<Scalar, 1, MR_DIV_N, NR, MR_DIV_N, H_M, H_N>(&UKR, &H_UKR);
                }
            }
        }
    }

    fn transposed(self) -> Self {
        let (m, n, k) = self.sizes;
        Self {
            sizes: (n, m, k),
            out: self.out.transposed(),
            left: self.right.transposed(),
            right: self.left.transposed(),
            add: self.add,
        }
    }

    /// # Safety
    /// As [`Product::run`], and the machine has the instructions of `S`.
    #[inline(never)]
    unsafe fn drive<
        S: MixedSimd<f32, f32, f32, f32>,
        const N: usize,
        const MR: usize,
        const NR: usize,
        const MR_DIV_N: usize,
        const H_M: usize,
        const H_N: usize,
    >(
        self,
        kernels: &[[MicroKernelFn<f32>; NR]; MR_DIV_N],
        dot_kernels: &[[HMicroKernelFn<f32>; H_N]; H_M],
    ) {
        let Self { sizes: (m, n, k), out, left, right, add } = self;
        let simd = S::try_new().expect("the instruction set was detected");
        // SAFETY: the caller's promise.
        unsafe {
            gemm_basic_generic::<S, f32, N, MR, NR, MR_DIV_N, H_M, H_N>(
                simd,
                m,
                n,
                k,
                out.start,
                out.column,
                out.row,
                add,
                left.start,
                left.column,
                left.row,
                right.start,
                right.column,
                right.row,
                1.0,
                1.0,
                false,
                false,
                false,
                |a, b, c| a * b + c,
                kernels,
                dot_kernels,
                false,
                Parallelism::Rayon(0),
            );
        }
    }
}

impl<P> Matrix<P> {
    fn transposed(self) -> Self {
        Self { start: self.start, column: self.row, row: self.column }
    }
}
