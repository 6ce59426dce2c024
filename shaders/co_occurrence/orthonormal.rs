//! Dense algebra of tall matrices: rows are many, columns (`width`) few.

/// Gram matrix xᵀ x (width, width) of x (rows, width).
pub(super) fn gram(x: &[f32], width: usize) -> Vec<f64> {
    let mut gram = vec![0.0; width * width];
    let mut wide = vec![0.0; width];
    for row in x.chunks_exact(width) {
        wide.iter_mut().zip(row).for_each(|(wide, &x)| *wide = f64::from(x));
        for (a, sums) in gram.chunks_exact_mut(width).enumerate() {
            let scale = wide[a];
            if scale != 0.0 {
                sums[..=a].iter_mut().zip(&wide).for_each(|(sum, x)| *sum += scale * x);
            }
        }
    }
    for a in 0..width {
        for b in 0..a {
            gram[b * width + a] = gram[a * width + b];
        }
    }
    gram
}

/// Makes the columns of x (rows, width) orthonormal; columns that depend on those before them become zero.
/// Cholesky QR, twice (Yamamoto et al. 2015), which is as good as Householder's for columns that are not nearly dependent.
pub(super) fn orthonormalize(x: &mut [f32], width: usize) {
    for _ in 0..2 {
        let lower = cholesky(gram(x, width), width);
        for row in x.chunks_exact_mut(width) {
            solve_row(&lower, row);
        }
    }
}

/// Lower factor L of `gram` = L Lᵀ; the rows of columns that depend on those before them are zero.
fn cholesky(mut gram: Vec<f64>, width: usize) -> Vec<f64> {
    let least = 1e-10 * (0..width).map(|k| gram[k * width + k]).fold(0.0, f64::max);
    for k in 0..width {
        for j in 0..=k {
            let (before, row) = gram.split_at_mut(k * width);
            let sum = |of: &[f64], row: &[f64]| of[..j].iter().zip(&row[..j]).map(|(a, b)| a * b).sum::<f64>();
            if j < k {
                let pivot = before[j * width + j];
                let rest = row[j] - sum(&before[j * width..], row);
                row[j] = if pivot > 0.0 { rest / pivot } else { 0.0 };
            } else {
                let rest = row[k] - row[..k].iter().map(|a| a * a).sum::<f64>();
                if rest > least {
                    row[k] = rest.sqrt();
                } else {
                    row[..=k].fill(0.0);
                }
            }
        }
    }
    gram
}

/// row ← row L⁻ᵀ
fn solve_row(lower: &[f64], row: &mut [f32]) {
    let width = row.len();
    for k in 0..width {
        let pivot = lower[k * width + k];
        let known = &lower[k * width..][..k];
        let sum: f64 = known.iter().zip(row.iter()).map(|(l, &x)| l * f64::from(x)).sum();
        row[k] = if pivot > 0.0 { ((f64::from(row[k]) - sum) / pivot) as f32 } else { 0.0 };
    }
}

/// Eigenvalues, descending, and eigenvectors (one a row) of a symmetric matrix, by Jacobi's rotations.
pub(super) fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|k| vectors[k * n + k] = 1.0);
    for _sweep in 0..60 {
        let off: f64 = (0..n).flat_map(|p| (0..p).map(move |q| (p, q))).map(|(p, q)| a[p * n + q].powi(2)).sum();
        let on: f64 = (0..n).map(|p| a[p * n + p].powi(2)).sum();
        if off <= 1e-24 * on {
            break;
        }
        for p in 1..n {
            for q in 0..p {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&x, &y| a[y * n + y].total_cmp(&a[x * n + x]));
    let values = order.iter().map(|&k| a[k * n + k]).collect();
    (values, order.iter().flat_map(|&k| vectors[k * n..][..n].to_vec()).collect())
}

/// Makes element (p, q) of `a` zero.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let t = if theta == 0.0 { 1.0 } else { t };
    let cos = 1.0 / (t * t + 1.0).sqrt();
    let sin = t * cos;
    for k in 0..n {
        let (x, y) = (a[k * n + p], a[k * n + q]);
        (a[k * n + p], a[k * n + q]) = (cos * x - sin * y, sin * x + cos * y);
    }
    for k in 0..n {
        let (x, y) = (a[p * n + k], a[q * n + k]);
        (a[p * n + k], a[q * n + k]) = (cos * x - sin * y, sin * x + cos * y);
        let (x, y) = (vectors[p * n + k], vectors[q * n + k]);
        (vectors[p * n + k], vectors[q * n + k]) = (cos * x - sin * y, sin * x + cos * y);
    }
}
