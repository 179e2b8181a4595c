//! Which resource waits for which.
//!
//! Owns the order of the work and the refusal of circles. Pure.

use crate::{manifests::Located, refusal::Refusal};

/// Indices of the resources that each one waits for. References that lead out of the manifests are not among them.
pub fn dependencies(located: &[Located]) -> Vec<Vec<usize>> {
    let index_of = |key| located.iter().position(|located| located.resource.key() == key);
    located.iter().map(|located| located.resource.dependencies().into_iter().filter_map(index_of).collect()).collect()
}

/// Every resource after those it waits for, otherwise as written. Resources in a circle are left out.
pub fn order(dependencies: &[Vec<usize>]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    // The first one that can come next comes next: with few resources the plain search is the clearest.
    while let Some(next) = (0..dependencies.len())
        .find(|index| !order.contains(index) && dependencies[*index].iter().all(|wanted| order.contains(wanted)))
    {
        order.push(next);
    }
    order
}

/// One refusal for each circle.
pub fn circles(located: &[Located], dependencies: &[Vec<usize>]) -> Vec<Refusal> {
    let mut told = order(dependencies);
    let mut refusals = Vec::new();
    while let Some(start) = (0..dependencies.len()).find(|index| !told.contains(index)) {
        let circle = circle_from(start, dependencies, &told);
        if !circle.is_empty() {
            let first = &located[circle[0]];
            let names: Vec<String> =
                circle.iter().chain([&circle[0]]).map(|&index| located[index].resource.key().to_string()).collect();
            let chain = names.join(", which waits for ").replacen(", which waits", " waits", 1);
            let text = format!("{chain}; break the circle by starting one of them from a config or a uri");
            refusals.push(Refusal::at(&first.place, text));
        }
        told.push(start);
        told.extend(circle);
    }
    refusals
}

/// Follows what cannot be ordered until a resource comes back; empty if the way leads into a circle already told.
fn circle_from(start: usize, dependencies: &[Vec<usize>], told: &[usize]) -> Vec<usize> {
    let mut way = vec![start];
    loop {
        let last = *way.last().expect("the way begins with its start");
        let Some(&next) = dependencies[last].iter().find(|wanted| !told.contains(wanted)) else { return Vec::new() };
        if let Some(position) = way.iter().position(|&seen| seen == next) {
            return way.split_off(position);
        }
        way.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_after_what_it_waits_for() {
        assert_eq!(order(&[vec![2], vec![0], vec![]]), [2, 0, 1]);
        assert_eq!(order(&[vec![], vec![], vec![]]), [0, 1, 2]);
        assert_eq!(order(&[vec![1], vec![0], vec![]]), [2]);
    }

    #[test]
    fn a_way_into_a_circle_is_not_part_of_it() {
        assert_eq!(circle_from(0, &[vec![1], vec![2], vec![1]], &[]), [1, 2]);
    }
}
