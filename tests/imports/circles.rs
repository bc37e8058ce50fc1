//! Finds files that need each other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use super::references::Reference;

/// Maps each file to the files that it needs, each with a path as the reason.
type Graph<'a> = BTreeMap<&'a Path, BTreeMap<&'a Path, &'a str>>;

/// Describes each circle with one line for each file and the path that leads to the next file.
/// If several circles pass through a file, the shortest one is described.
pub(super) fn find(references: &[Reference]) -> Vec<String> {
    let mut graph = Graph::new();
    for reference in references {
        if let Some(to) = &reference.to_file {
            let needs = graph.entry(&reference.from_file).or_default();
            let reason = needs.entry(to).or_insert(&reference.written);
            // The longest path is that of a `use` declaration, if there is one.
            if reference.written.len() > reason.len() {
                *reason = &reference.written;
            }
        }
    }
    let mut known = BTreeSet::new();
    let mut circles = Vec::new();
    for &start in graph.keys() {
        let Some(circle) = shortest(&graph, start) else { continue };
        if known.insert(circle.iter().copied().collect::<BTreeSet<_>>()) {
            circles.push(describe(&graph, &circle));
        }
    }
    circles
}

/// Returns the files of the shortest circle through `start`.
fn shortest<'a>(graph: &Graph<'a>, start: &'a Path) -> Option<Vec<&'a Path>> {
    let mut came_from: BTreeMap<&Path, &Path> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for &next in graph.get(file)?.keys().filter(|next| graph.contains_key(**next)) {
            if next == start {
                let mut circle = vec![file];
                while let Some(&before) = came_from.get(circle[circle.len() - 1]) {
                    circle.push(before);
                }
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

fn describe(graph: &Graph<'_>, circle: &[&Path]) -> String {
    let next = circle.iter().cycle().skip(1);
    let lines = circle.iter().zip(next).map(|(file, next)| {
        format!("{} needs {} for {}", file.display(), next.display(), graph[file][next])
    });
    lines.collect::<Vec<_>>().join("\n")
}
