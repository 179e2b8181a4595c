//! The learning rate of each step: a linear warm-up, then one of four curves.
//!
//! Pure: a step goes in, a rate comes out.

/// The curve after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LrShape {
    /// Stays at the peak.
    Constant,
    /// Falls in a straight line to the minimum at the last step.
    Linear,
    /// Falls along half a cosine to the minimum at the last step (SGDR, arXiv:1608.03983).
    Cosine,
    /// Stays at the peak, then falls in a straight line over the last `decay_steps` (arXiv:2404.06395).
    WarmupStableDecay {
        /// Steps of the final fall.
        decay_steps: u64,
    },
}

/// A learning-rate schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrSchedule {
    /// The curve after the warm-up.
    pub shape: LrShape,
    /// Rate at the end of the warm-up.
    pub peak: f64,
    /// Rate at the end, as a share (0 to 1) of the peak.
    pub min_ratio: f64,
    /// Steps over which the rate rises linearly from zero.
    pub warmup_steps: u64,
    /// Optimiser steps of the whole job.
    pub max_steps: u64,
}

impl LrSchedule {
    /// Rate of the `step`-th optimiser step, counted from 0. The last warm-up step has the peak, the last step the minimum.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let floor = self.peak * self.min_ratio;
        floor + (self.peak - floor) * self.share_of_fall(step)
    }

    /// What is left of the way from peak to minimum, 1 at the peak and 0 at the end.
    fn share_of_fall(&self, step: u64) -> f64 {
        let start = match self.shape {
            LrShape::Constant => return 1.0,
            LrShape::WarmupStableDecay { decay_steps } => {
                self.max_steps.saturating_sub(decay_steps.saturating_add(1)).max(self.warmup_steps)
            }
            LrShape::Linear | LrShape::Cosine => self.warmup_steps,
        };
        let span = self.max_steps.saturating_sub(1).saturating_sub(start).max(1) as f64;
        let done = (step.saturating_sub(start) as f64 / span).min(1.0);
        match self.shape {
            LrShape::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
            LrShape::Constant | LrShape::Linear | LrShape::WarmupStableDecay { .. } => 1.0 - done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(shape: LrShape) -> LrSchedule {
        LrSchedule { shape, peak: 1.0, min_ratio: 0.1, warmup_steps: 10, max_steps: 101 }
    }

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-12
    }

    #[test]
    fn every_shape_warms_up_to_the_peak() {
        for shape in
            [LrShape::Constant, LrShape::Linear, LrShape::Cosine, LrShape::WarmupStableDecay { decay_steps: 20 }]
        {
            let rates = schedule(shape);
            assert!(near(rates.at(0), 0.1) && near(rates.at(9), 1.0) && near(rates.at(10), 1.0), "{shape:?}");
        }
    }

    #[test]
    fn each_shape_ends_where_it_should() {
        assert!(near(schedule(LrShape::Constant).at(100), 1.0));
        assert!(near(schedule(LrShape::Linear).at(55), 0.55) && near(schedule(LrShape::Linear).at(100), 0.1));
        assert!(near(schedule(LrShape::Cosine).at(55), 0.55) && near(schedule(LrShape::Cosine).at(100), 0.1));
        let wsd = schedule(LrShape::WarmupStableDecay { decay_steps: 20 });
        assert!(near(wsd.at(80), 1.0) && near(wsd.at(90), 0.55) && near(wsd.at(100), 0.1));
        assert!(near(wsd.at(1_000_000), 0.1));
    }

    #[test]
    fn a_job_of_one_step_has_a_finite_rate() {
        for shape in [LrShape::Linear, LrShape::Cosine, LrShape::WarmupStableDecay { decay_steps: 5 }] {
            let rates = LrSchedule { shape, peak: 2.0, min_ratio: 0.0, warmup_steps: 0, max_steps: 1 };
            assert!(near(rates.at(0), 2.0), "{shape:?}");
        }
    }
}
