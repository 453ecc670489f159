//! The bytes of a file as a body: read piece by piece on threads that may block, each when the last one has gone on.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// Most bytes that are read at a time, and held for one request.
pub(super) const PIECE_BYTES: u64 = 64 * 1024;

/// A part of a body.
#[derive(Debug)]
pub(super) enum Segment {
    /// As it is.
    Text(Bytes),
    /// These bytes of the file.
    File(Range<u64>),
}

impl Segment {
    /// How many bytes it has.
    pub(super) fn length(&self) -> u64 {
        match self {
            Segment::Text(text) => text.len() as u64,
            Segment::File(range) => range.end - range.start,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pieces {
    file: Arc<File>,
    /// What has not gone on yet; none of it is empty.
    left: VecDeque<Segment>,
    /// The first piece of the file, which is there already.
    first: Option<Bytes>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// The place among those that are answered with files.
    _place: OwnedSemaphorePermit,
}

impl Pieces {
    /// Segments with parts of a file, the first piece of which is read at once: not to be called where blocking is harm.
    ///
    /// # Errors
    /// What reading reports.
    pub(super) fn begin(
        file: File,
        segments: Vec<Segment>,
        place: OwnedSemaphorePermit,
    ) -> io::Result<Pieces> {
        let left: VecDeque<Segment> = segments.into_iter().filter(|segment| segment.length() > 0).collect();
        let first = left.iter().find_map(|segment| match segment {
            Segment::File(range) => Some(read(&file, range)),
            Segment::Text(_) => None,
        });
        Ok(Pieces { file: Arc::new(file), left, first: first.transpose()?, reading: None, _place: place })
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let range = match self.left.front() {
            None => return Poll::Ready(None),
            Some(Segment::File(range)) => range.clone(),
            Some(Segment::Text(text)) => {
                let text = text.clone();
                self.left.pop_front();
                return Poll::Ready(Some(Ok(Frame::data(text))));
            }
        };
        let piece = match self.first.take() {
            Some(piece) => piece,
            None => {
                let (file, left) = (Arc::clone(&self.file), range.clone());
                let reading = self
                    .reading
                    .get_or_insert_with(|| tokio::task::spawn_blocking(move || read(&file, &left)));
                let piece = ready!(Pin::new(reading).poll(context));
                self.reading = None;
                match piece.map_err(io::Error::other).flatten() {
                    Ok(piece) => piece,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        let rest = range.start + piece.len() as u64..range.end;
        self.left.pop_front();
        if !rest.is_empty() {
            self.left.push_front(Segment::File(rest));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.iter().map(Segment::length).sum())
    }
}

/// Reads the first piece of a range, which is not empty. A file that has become shorter is an error: its length was
/// told already.
fn read(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let bytes = (range.end - range.start).min(PIECE_BYTES);
    let mut piece = vec![0; bytes as usize];
    let count = loop {
        match file.read_at(&mut piece, range.start) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(count);
    Ok(Bytes::from(piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::Write;
    use tokio::sync::Semaphore;

    fn place() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[tokio::test]
    async fn a_range_comes_in_order_and_in_pieces() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let mut body = Pieces::begin(file(&bytes), vec![Segment::File(5..199_990)], place()).unwrap();
        assert_eq!(body.size_hint().exact(), Some(199_985));
        let (mut came, mut pieces) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() as u64 <= PIECE_BYTES);
            came.extend_from_slice(&piece);
            pieces += 1;
        }
        assert!(came == bytes[5..199_990]);
        assert_eq!(pieces, 4);
    }

    #[tokio::test]
    async fn a_file_that_is_cut_meanwhile_is_an_error() {
        let file = file(&vec![b'x'; 150_000]);
        let mut body =
            Pieces::begin(file.try_clone().unwrap(), vec![Segment::File(0..150_000)], place()).unwrap();
        file.set_len(70_000).unwrap();
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 70_000 - 65_536);
        assert_eq!(body.frame().await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn nothing_is_read_of_an_empty_range() {
        let mut body = Pieces::begin(file(b""), vec![Segment::File(0..0)], place()).unwrap();
        assert!(body.is_end_stream() && body.frame().await.is_none());
    }

    #[tokio::test]
    async fn parts_come_with_the_texts_between_them() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let text = |text: &'static [u8]| Segment::Text(Bytes::from_static(text));
        let segments = vec![
            text(b"one"),
            Segment::File(7..100_000),
            text(b""),
            text(b"two"),
            Segment::File(3..5),
            text(b"end"),
        ];
        let body = Pieces::begin(file(&bytes), segments, place()).unwrap();
        let whole = [b"one", &bytes[7..100_000], b"two", &bytes[3..5], b"end"].concat();
        assert_eq!(body.size_hint().exact(), Some(whole.len() as u64));
        assert!(body.collect().await.unwrap().to_bytes() == whole);
    }
}
