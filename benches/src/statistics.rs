//! Medians, and how far to trust a mean of differences.

/// Two-sided 95 % quantiles of Student's t by degrees of freedom, from 1; beyond the list the normal's serves.
const T_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL_95: f64 = 1.960;

/// What several rounds say of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    /// Median over rounds.
    pub(crate) median: f64,
    /// 95 % interval of the mean by Student's t; absent with a single round.
    pub(crate) interval: Option<(f64, f64)>,
}

/// `None` of nothing.
pub(crate) fn estimate(values: &[f64]) -> Option<Estimate> {
    Some(Estimate { median: median(values.iter().copied())?, interval: interval(values) })
}

/// Median; of an even number, the mean of the middle two. `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    match sorted.len() % 2 {
        0 => Some(f64::midpoint(*sorted.get(middle - 1)?, upper)),
        _ => Some(upper),
    }
}

fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let freedom = values.len().checked_sub(1).filter(|freedom| *freedom > 0)?;
    let count = f64::from(u32::try_from(values.len()).ok()?);
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let quantile = T_95.get(freedom - 1).copied().unwrap_or(NORMAL_95);
    let half = quantile * (variance / count).sqrt();
    Some((mean - half, mean + half))
}
