//! Where boxes stand: layer under layer, each box below all it reads, as few crossings as a few sweeps find, and each
//! as close to its neighbours as the others in its layer let it.

/// A box to be placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The space between boxes of a layer, and between a box and an arrow that passes it.
const BESIDE: f64 = 28.0;
/// The space between layers.
const BELOW: f64 = 54.0;

/// Where everything stands.
#[derive(Debug)]
pub(super) struct Layout {
    /// The middle of each box's upper edge.
    pub(super) tops: Vec<(f64, f64)>,
    /// For each arrow the points it passes between its two boxes.
    pub(super) bends: Vec<Vec<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Boxes, then a point for each layer that an arrow passes through.
struct Grid {
    sizes: Vec<Size>,
    layer: Vec<usize>,
    /// From above to below, layer by layer.
    links: Vec<(usize, usize)>,
    /// Order within each layer.
    layers: Vec<Vec<usize>>,
}

/// Places boxes; an arrow leads from a box to a later one.
pub(super) fn layout(sizes: &[Size], arrows: &[(usize, usize)]) -> Layout {
    let (mut grid, through) = grid(sizes, arrows);
    for sweep in 0..12 {
        grid.sort(sweep % 2 == 0);
    }
    let x = grid.columns();
    let heights: Vec<f64> =
        grid.layers.iter().map(|layer| layer.iter().map(|i| grid.sizes[*i].height).fold(0.0, f64::max)).collect();
    let mut y = Vec::with_capacity(heights.len());
    let mut next = 0.0;
    for height in &heights {
        y.push(next);
        next += height + BELOW;
    }
    let left = (0..x.len()).map(|i| x[i] - grid.sizes[i].width / 2.0).fold(f64::MAX, f64::min);
    let right = (0..x.len()).map(|i| x[i] + grid.sizes[i].width / 2.0).fold(f64::MIN, f64::max);
    let tops = (0..sizes.len()).map(|i| (x[i] - left, y[grid.layer[i]])).collect();
    let bend = |i: &usize| {
        let layer = grid.layer[*i];
        [(x[*i] - left, y[layer]), (x[*i] - left, y[layer] + heights[layer])]
    };
    let bends = through.iter().map(|points| points.iter().flat_map(bend).collect()).collect();
    Layout { tops, bends, width: (right - left).max(0.0), height: (next - BELOW).max(0.0) }
}

/// Layers and the points of long arrows.
fn grid(sizes: &[Size], arrows: &[(usize, usize)]) -> (Grid, Vec<Vec<usize>>) {
    let layer = layers_of(sizes.len(), arrows);
    let mut grid = Grid { sizes: sizes.to_vec(), layers: Vec::new(), layer, links: Vec::new() };
    let mut through = Vec::new();
    for (from, to) in arrows {
        let mut points = Vec::new();
        let mut above = *from;
        for layer in grid.layer[*from] + 1..grid.layer[*to] {
            let point = grid.sizes.len();
            grid.sizes.push(Size { width: 8.0, height: 0.0 });
            grid.layer.push(layer);
            grid.links.push((above, point));
            points.push(point);
            above = point;
        }
        grid.links.push((above, *to));
        through.push(points);
    }
    let depth = grid.layer.iter().max().map_or(0, |deepest| deepest + 1);
    grid.layers = vec![Vec::new(); depth];
    for (i, layer) in grid.layer.iter().enumerate() {
        grid.layers[*layer].push(i);
    }
    (grid, through)
}

/// Each box one layer below the lowest it reads; what reads nothing directly above its first reader.
fn layers_of(boxes: usize, arrows: &[(usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0; boxes];
    for _ in 0..boxes {
        for (from, to) in arrows {
            layer[*to] = layer[*to].max(layer[*from] + 1);
        }
    }
    for i in 0..boxes {
        let reads = arrows.iter().any(|(_, to)| *to == i);
        let first = arrows.iter().filter(|(from, _)| *from == i).map(|(_, to)| layer[*to]).min();
        if let (false, Some(first)) = (reads, first) {
            layer[i] = first - 1;
        }
    }
    layer
}

impl Grid {
    /// Puts every layer into the order of the middle of its neighbours above (or below).
    fn sort(&mut self, downwards: bool) {
        let depth = self.layers.len();
        let order: Vec<usize> = if downwards { (0..depth).collect() } else { (0..depth).rev().collect() };
        for at in order {
            let mut place = vec![0.0; self.sizes.len()];
            for layer in &self.layers {
                for (i, node) in layer.iter().enumerate() {
                    place[*node] = (i as f64 + 0.5) / layer.len() as f64;
                }
            }
            let middle = |node: usize| mean(self.neighbours(node, downwards).map(|n| place[n])).unwrap_or(place[node]);
            let mut sorted: Vec<_> = self.layers[at].iter().map(|node| (middle(*node), *node)).collect();
            sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
            self.layers[at] = sorted.into_iter().map(|(_, node)| node).collect();
        }
    }

    fn neighbours(&self, node: usize, above: bool) -> impl Iterator<Item = usize> {
        self.links.iter().filter_map(move |(from, to)| match above {
            true => (*to == node).then_some(*from),
            false => (*from == node).then_some(*to),
        })
    }

    /// The middle of everything, by layer as close to what it is connected with as possible.
    fn columns(&self) -> Vec<f64> {
        let mut x = vec![0.0; self.sizes.len()];
        for round in 0..17 {
            let downwards = round % 2 == 0;
            let depth = self.layers.len();
            for step in 0..depth {
                let layer = &self.layers[if downwards { step } else { depth - 1 - step }];
                let both = round >= 12;
                let wish = |node: &usize| {
                    let near = self.neighbours(*node, downwards);
                    let far = self.neighbours(*node, !downwards).filter(|_| both);
                    mean(near.chain(far).map(|n| x[n])).unwrap_or(x[*node])
                };
                let wishes: Vec<f64> = layer.iter().map(wish).collect();
                let widths: Vec<f64> = layer.iter().map(|node| self.sizes[*node].width).collect();
                for (node, at) in layer.iter().zip(apart(&wishes, &widths)) {
                    x[*node] = at;
                }
            }
        }
        x
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Positions next to each other that are as close to the wishes as can be: neighbours that would overlap share a
/// common shift, the mean of theirs.
fn apart(wishes: &[f64], widths: &[f64]) -> Vec<f64> {
    let mut offsets = Vec::with_capacity(wishes.len());
    let mut offset = 0.0;
    for (i, width) in widths.iter().enumerate() {
        if i > 0 {
            offset += widths[i - 1] / 2.0 + BESIDE + width / 2.0;
        }
        offsets.push(offset);
    }
    // Groups of neighbours with one shift: its mean and how many they are.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for (wish, offset) in wishes.iter().zip(&offsets) {
        let mut group = (wish - offset, 1);
        while let Some((shift, count)) = groups.last().copied().filter(|(shift, _)| *shift > group.0) {
            let total = count + group.1;
            group = ((shift * count as f64 + group.0 * group.1 as f64) / total as f64, total);
            groups.pop();
        }
        groups.push(group);
    }
    let shifts = groups.into_iter().flat_map(|(shift, count)| std::iter::repeat_n(shift, count));
    shifts.zip(offsets).map(|(shift, offset)| shift + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Size = Size { width: 100.0, height: 40.0 };

    #[test]
    fn boxes_of_a_layer_do_not_touch_and_none_stands_above_what_it_reads() {
        let arrows = [(0, 2), (1, 2), (2, 3), (0, 3), (2, 4), (2, 5), (1, 6), (5, 6)];
        let layout = layout(&[BOX; 7], &arrows);
        for (from, to) in arrows {
            assert!(layout.tops[from].1 + BOX.height < layout.tops[to].1);
        }
        for i in 0..7 {
            for j in 0..i {
                let (a, b) = (layout.tops[i], layout.tops[j]);
                assert!(a.1 != b.1 || (a.0 - b.0).abs() >= BOX.width + BESIDE - 0.01, "{i} {j} {layout:?}");
            }
            let (x, y) = layout.tops[i];
            assert!(x - 50.0 >= -0.01 && x + 50.0 <= layout.width + 0.01 && y + 40.0 <= layout.height + 0.01);
        }
    }

    #[test]
    fn a_chain_is_straight() {
        let layout = layout(&[BOX, Size { width: 300.0, height: 20.0 }, BOX], &[(0, 1), (1, 2)]);
        assert!(layout.tops.iter().all(|(x, _)| (x - 150.0).abs() < 0.01), "{layout:?}");
    }

    #[test]
    fn a_long_arrow_passes_beside_the_boxes_between() {
        let layout = layout(&[BOX; 3], &[(0, 1), (1, 2), (0, 2)]);
        let [(x, _), _] = layout.bends[2].as_slice() else { panic!("{layout:?}") };
        assert!((x - layout.tops[1].0).abs() > 50.0, "{layout:?}");
    }
}
