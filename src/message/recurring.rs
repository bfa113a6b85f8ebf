//! [`Recurring`]: lines that come again in one head after the other.

use super::{BadLine, Line};

/// Lines that are remembered, the first ones of a head, and the most that one of them has in bytes.
const MOST: usize = 16;
const LONGEST: usize = 128;

/// The lines of earlier heads, by their place. A server says nearly the same in each of its
/// responses, and what was read once need only be compared. No `Debug`: values may be credentials.
#[derive(Default)]
pub struct Recurring(Vec<Known>);

struct Known {
    /// With its end; empty where there was too much of it.
    text: Vec<u8>,
    /// As if it stood at the start of its head.
    line: Line,
}

impl Recurring {
    /// As [`Line::find`], for the line with this index in its head.
    ///
    /// # Errors
    ///
    /// As [`Line::read`].
    #[inline]
    pub fn find(
        &mut self,
        index: usize,
        head: &[u8],
        start: usize,
    ) -> Result<Option<(Line, usize)>, BadLine> {
        if let Some(known) = self.0.get(index)
            && !known.text.is_empty()
            && head[start..].starts_with(&known.text)
        {
            return Ok(Some((known.line.moved(0, start), start + known.text.len())));
        }
        self.find_anew(index, head, start)
    }

    #[inline(never)]
    fn find_anew(
        &mut self,
        index: usize,
        head: &[u8],
        start: usize,
    ) -> Result<Option<(Line, usize)>, BadLine> {
        let found = Line::find(head, start)?;
        if let Some((line, next)) = found {
            self.remember(index, line.moved(start, 0), &head[start..next]);
        }
        Ok(found)
    }

    fn remember(&mut self, index: usize, line: Line, text: &[u8]) {
        // What is too long keeps its place, for the sake of those behind it.
        let text = if text.len() > LONGEST { &[] } else { text };
        if index == self.0.len() && index < MOST {
            self.0.push(Known { text: text.to_vec(), line });
        } else if let Some(known) = self.0.get_mut(index) {
            known.text.clear();
            known.text.extend_from_slice(text);
            known.line = line;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of a head, and how many of them were known.
    fn read(recurring: &mut Recurring, head: &[u8]) -> (Vec<Line>, usize) {
        let (mut at, mut lines, mut known) = (0, Vec::new(), 0);
        while at < head.len() {
            let index = lines.len();
            let is_known = |known: &Known| !known.text.is_empty() && head[at..].starts_with(&known.text);
            known += usize::from(recurring.0.get(index).is_some_and(is_known));
            let found = recurring.find(index, head, at);
            assert_eq!(found, Line::find(head, at), "line {index} of {}", head.escape_ascii());
            let Ok(Some((line, next))) = found else { break };
            lines.push(line);
            at = next;
        }
        (lines, known)
    }

    #[test]
    fn what_was_said_before_is_known_wherever_it_stands_in_the_head() {
        let mut recurring = Recurring::default();
        assert_eq!(read(&mut recurring, b"Server: a\r\nDate: 1\r\nAge: 1\n").1, 0);
        assert_eq!(read(&mut recurring, b"Server: a\r\nDate: 12\r\nAge: 1\n").1, 2);
        let (lines, known) = read(&mut recurring, b"Server: a\r\nDate: 12\r\nAge: 1\n");
        assert_eq!(known, 3);
        assert_eq!(lines[1].value_in(b"Server: a\r\nDate: 12\r\nAge: 1\n"), b"12");
        // The start of a line is not the line.
        assert_eq!(read(&mut recurring, b"Server: ab\r\n").1, 0);
        assert_eq!(read(&mut recurring, b"Server: ").1, 0);
        assert_eq!(read(&mut recurring, b"Server: ab\r\nDate: 12\r\n").1, 2);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut recurring = Recurring::default();
        let long = format!("a: {}\r\n", "x".repeat(LONGEST));
        let head = format!("b: 1\r\n{long}") + &"c: 2\r\n".repeat(2 * MOST);
        assert_eq!(read(&mut recurring, head.as_bytes()).1, 0);
        assert_eq!(read(&mut recurring, head.as_bytes()).1, MOST - 1);
        assert!(recurring.0.iter().all(|known| known.text.len() <= LONGEST));
    }

    proptest! {
        #[test]
        fn heads_are_read_as_by_somebody_without_a_memory(
            heads in proptest::collection::vec(
                proptest::collection::vec(
                    (prop::sample::select(vec!["a", "bb", "Date", "x y", "", "t\u{e6}"]),
                     prop::sample::select(vec![":", ": ", " :", ":\t", ""]),
                     prop::sample::select(vec!["", "1", "12", "1 ", "a\rb", "\0", "value"]),
                     prop::sample::select(vec!["\r\n", "\n", "\r", ""])),
                    0..6),
                0..6),
        ) {
            let mut recurring = Recurring::default();
            for head in heads {
                let text: String =
                    head.iter().map(|(name, colon, value, end)| format!("{name}{colon}{value}{end}")).collect();
                read(&mut recurring, text.as_bytes());
            }
        }
    }
}
