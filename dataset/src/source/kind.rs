//! What a file is that holds no text, told by its first bytes.
//!
//! A closed list of what is met in folders of text; every other file with a NUL in its beginning is binary data, as git
//! tells it. Signatures that a text could begin with by chance (`BM`, `MZ`, `ORC`) are not used: those files have NULs.

use std::path::Path;

/// Bytes that tell the kind: tar's signature lies at 257, and git looks for NULs in as many.
pub(super) const HEAD_BYTES: usize = 8000;

/// A kind of file without text in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// tar.
    Tar,
    /// zip and what is built on it, but for office files.
    Zip,
    /// 7z.
    SevenZip,
    /// rar.
    Rar,
    /// ar, deb, rpm, cab.
    Package,
    /// Compressed in a way that is not seen through, or twice.
    Compressed,
    /// PDF.
    Pdf,
    /// Office files: on zip, on OLE, RTF, and electronic books.
    Office,
    /// Images.
    Image,
    /// Sound and film.
    Media,
    /// Programs and libraries.
    Executable,
    /// Fonts.
    Font,
    /// Databases, arrays, weights.
    Data,
    /// Parquet where it was not asked for.
    Parquet,
    /// Git's own files.
    Git,
    /// A git-lfs pointer in the place of the file.
    LfsPointer,
    /// AppleDouble and `.DS_Store`.
    MacOs,
    /// An HTML page.
    Html,
    /// Not parquet where parquet was asked for.
    NotParquet,
    /// NULs.
    Binary,
}

/// Where the signature begins, the signature, the kind.
type Signature = (usize, &'static [u8], Kind);

const SIGNATURES: &[Signature] = &[
    (257, b"ustar", Kind::Tar),
    (0, b"7z\xbc\xaf\x27\x1c", Kind::SevenZip),
    (0, b"Rar!\x1a\x07", Kind::Rar),
    (0, b"!<arch>\n", Kind::Package),
    (0, b"\xed\xab\xee\xdb", Kind::Package),
    (0, b"MSCF\0\0\0\0", Kind::Package),
    (0, b"\x1f\x8b\x08", Kind::Compressed),
    (0, b"\x28\xb5\x2f\xfd", Kind::Compressed),
    (0, b"\xfd7zXZ\0", Kind::Compressed),
    (0, b"BZh91AY&SY", Kind::Compressed),
    (0, b"\x04\x22\x4d\x18", Kind::Compressed),
    (0, b"\x02\x21\x4c\x18", Kind::Compressed),
    (0, b"\x1f\x9d", Kind::Compressed),
    (0, b"LZIP\x01", Kind::Compressed),
    (0, b"\x89LZO\0\r\n\x1a\n", Kind::Compressed),
    (0, b"\xff\x06\0\0sNaPpY", Kind::Compressed),
    (0, b"\x5d\0\0", Kind::Compressed),
    (0, b"%PDF-", Kind::Pdf),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind::Office),
    (0, b"{\\rtf1", Kind::Office),
    (0, b"\x89PNG\r\n\x1a\n", Kind::Image),
    (0, b"\xff\xd8\xff", Kind::Image),
    (0, b"GIF87a", Kind::Image),
    (0, b"GIF89a", Kind::Image),
    (0, b"II*\0", Kind::Image),
    (0, b"MM\0*", Kind::Image),
    (0, b"8BPS\0\x01", Kind::Image),
    (8, b"WEBPVP8", Kind::Image),
    (4, b"ftypavif", Kind::Image),
    (4, b"ftypheic", Kind::Image),
    (4, b"ftyp", Kind::Media),
    (8, b"WAVEfmt ", Kind::Media),
    (8, b"AVI LIST", Kind::Media),
    (0, b"OggS\0", Kind::Media),
    (0, b"fLaC\0", Kind::Media),
    (0, b"ID3\x03\0", Kind::Media),
    (0, b"ID3\x04\0", Kind::Media),
    (0, b"\x1a\x45\xdf\xa3", Kind::Media),
    (0, b"\x7fELF", Kind::Executable),
    (0, b"\xfe\xed\xfa\xce", Kind::Executable),
    (0, b"\xfe\xed\xfa\xcf", Kind::Executable),
    (0, b"\xce\xfa\xed\xfe", Kind::Executable),
    (0, b"\xcf\xfa\xed\xfe", Kind::Executable),
    (0, b"\xca\xfe\xba\xbe", Kind::Executable),
    (0, b"\0asm", Kind::Executable),
    (0, b"wOFF\0", Kind::Font),
    (0, b"wOF2\0", Kind::Font),
    (0, b"OTTO\0", Kind::Font),
    (0, b"SQLite format 3\0", Kind::Data),
    (0, b"ARROW1\0\0", Kind::Data),
    (0, b"Obj\x01", Kind::Data),
    (0, b"\x93NUMPY", Kind::Data),
    (0, b"\x89HDF\r\n\x1a\n", Kind::Data),
    (0, b"GGUF\x02\0", Kind::Data),
    (0, b"GGUF\x03\0", Kind::Data),
    (0, b"PAR1\x15", Kind::Parquet),
    (0, b"PACK\0\0\0", Kind::Git),
    (0, b"DIRC\0\0\0", Kind::Git),
    (0, b"\0\x05\x16\x07", Kind::MacOs),
    (0, b"\0\x05\x16\0", Kind::MacOs),
    (0, b"\0\0\0\x01Bud1", Kind::MacOs),
];

/// How zip archives begin: an entry, no entry, a part of several.
const ZIP: [&[u8]; 3] = [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"];
/// Names of the first entry of a zip archive that is an office file or a book.
const OFFICE_ENTRIES: [&[u8]; 6] =
    [b"[Content_Types].xml", b"_rels/", b"docProps/", b"word/", b"xl/", b"mimetypeapplication/"];
/// Where the first entry's name lies.
const ZIP_NAME: usize = 30;
/// How a git-lfs pointer begins, whoever's server it names, and the line that every one has.
const LFS_POINTER: (&[u8], &[u8]) = (b"version https://git-lfs.", b"oid sha256:");
/// How HTML begins, in small letters.
const HTML: [&[u8]; 2] = [b"<!doctype html", b"<html"];
/// Parts of names under which HTML is meant: HTML itself, and the languages of pages and templates.
const HTML_NAMES: [&str; 33] = [
    "html",
    "htm",
    "xhtml",
    "xht",
    "shtml",
    "mhtml",
    "php",
    "phtml",
    "jsp",
    "jspx",
    "asp",
    "aspx",
    "cshtml",
    "razor",
    "ejs",
    "erb",
    "eta",
    "hbs",
    "handlebars",
    "mustache",
    "njk",
    "j2",
    "jinja",
    "jinja2",
    "tmpl",
    "tpl",
    "template",
    "gohtml",
    "twig",
    "liquid",
    "vue",
    "svelte",
    "astro",
];

impl Kind {
    /// The kind of a file whose plain bytes begin with `head`; none where it may be text.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if ZIP.iter().any(|begin| head.starts_with(begin)) {
            let name = head.get(ZIP_NAME..).unwrap_or_default();
            let is_office = OFFICE_ENTRIES.iter().any(|entry| name.starts_with(entry));
            return Some(if is_office { Self::Office } else { Self::Zip });
        }
        let is_here = |(at, bytes, _): &&Signature| head.get(*at..).is_some_and(|rest| rest.starts_with(bytes));
        SIGNATURES.iter().find(is_here).map(|(_, _, kind)| *kind)
    }

    /// What a text that begins with `head`, in UTF-8, turns out to be; none for text.
    pub(super) fn of_text(head: &[u8]) -> Option<Self> {
        if head.contains(&0) {
            return Some(Self::Binary);
        }
        let begin = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(head).trim_ascii_start();
        let is_pointer = begin.starts_with(LFS_POINTER.0) && contains(begin, LFS_POINTER.1);
        let is_html =
            HTML.iter().any(|html| begin.get(..html.len()).is_some_and(|there| there.eq_ignore_ascii_case(html)));
        match (is_pointer, is_html) {
            (true, _) => Some(Self::LfsPointer),
            (_, true) => Some(Self::Html),
            _ => None,
        }
    }

    /// Whether it lies where data was meant: what a checkout without git-lfs or a server's page leaves.
    pub(super) fn stands_for_data(self) -> bool {
        matches!(self, Self::LfsPointer | Self::Html)
    }

    /// What is said of it behind "it is".
    pub(super) fn phrase(self) -> &'static str {
        match self {
            Self::Tar => "a tar archive",
            Self::Zip => "a zip archive",
            Self::SevenZip => "a 7z archive",
            Self::Rar => "a rar archive",
            Self::Package => "a package",
            Self::Compressed => "a compressed file",
            Self::Pdf => "a PDF",
            Self::Office => "an office file",
            Self::Image => "an image",
            Self::Media => "a media file",
            Self::Executable => "an executable",
            Self::Font => "a font",
            Self::Data => "a data file",
            Self::Parquet => "a parquet file",
            Self::Git => "a file of git",
            Self::LfsPointer => "a git-lfs pointer",
            Self::MacOs => "a macOS resource file",
            Self::Html => "an HTML page",
            Self::NotParquet => "no parquet file",
            Self::Binary => "binary data",
        }
    }

    /// What to do about it.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Tar | Self::Zip | Self::SevenZip | Self::Rar | Self::Package => "unpack it and name its folder",
            Self::Compressed => "decompress it once more, or use one of gzip, zstd, bzip2 and xz",
            Self::Pdf | Self::Office => "save its text as a text file",
            Self::Parquet => "set format: parquet",
            Self::NotParquet => "set the format that it has, or name parquet files",
            Self::LfsPointer => "fetch the file itself with git lfs pull",
            Self::Html => {
                "extract its text; where the HTML itself is meant, call it *.html or add a glob that holds htm to include"
            }
            Self::Image
            | Self::Media
            | Self::Executable
            | Self::Font
            | Self::Data
            | Self::Git
            | Self::MacOs
            | Self::Binary => "name files of text",
        }
    }
}

/// Whether the name or a glob of the source says that HTML is meant.
pub(super) fn is_html_meant(path: &str, include: &[String]) -> bool {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let is_named = name.split('.').skip(1).any(|part| HTML_NAMES.contains(&part));
    is_named || include.iter().any(|glob| glob.to_ascii_lowercase().contains("htm"))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(entry: &str) -> Vec<u8> {
        [b"PK\x03\x04".as_slice(), &[0; 26], entry.as_bytes()].concat()
    }

    #[test]
    fn the_first_bytes_tell_the_kind() {
        let tar = [vec![b'a'; 257], b"ustar  \0".to_vec()].concat();
        let kinds: [(&[u8], Kind); 8] = [
            (&tar, Kind::Tar),
            (&zip("docs/a.txt"), Kind::Zip),
            (&zip("[Content_Types].xml"), Kind::Office),
            (&zip("mimetypeapplication/vnd.oasis.opendocument.text"), Kind::Office),
            (b"%PDF-1.7\n", Kind::Pdf),
            (b"\x89PNG\r\n\x1a\n\0\0", Kind::Image),
            (b"\x7fELF\x02\x01", Kind::Executable),
            (b"\0\x05\x16\x07\0\x02\0\0", Kind::MacOs),
        ];
        for (head, kind) in kinds {
            assert_eq!(Kind::of(head), Some(kind), "{kind:?}");
        }
        for text in
            ["BMW builds cars", "MZ is no program", "ORCHARD", "PARIS", "PK is a name", "7zip", "Rar!", "ID3 tags"]
        {
            assert_eq!((Kind::of(text.as_bytes()), Kind::of_text(text.as_bytes())), (None, None), "{text}");
        }
    }

    #[test]
    fn stand_ins_for_data_and_nuls_are_told_from_text() {
        let pointer = b"version https://git-lfs.example/spec/v1\noid sha256:4d7a\nsize 12345\n";
        assert_eq!(Kind::of_text(pointer), Some(Kind::LfsPointer));
        assert_eq!(Kind::of_text(b"version https://git-lfs.example/ is what a pointer begins with"), None);
        for html in ["<!DOCTYPE HTML PUBLIC \"x\">", "\u{feff}\r\n <html lang=en>", "<!doctype html>"] {
            assert_eq!(Kind::of_text(html.as_bytes()), Some(Kind::Html), "{html}");
        }
        for text in ["<p>no page", "the <html> tag", "<htm"] {
            assert_eq!(Kind::of_text(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Kind::of_text(b"a\0b"), Some(Kind::Binary));
    }

    #[test]
    fn names_and_globs_say_where_html_is_meant() {
        for path in ["a/index.html", "page.HTM", "x.html.erb", "view.blade.php", "App.vue"] {
            assert!(is_html_meant(path, &[]), "{path}");
        }
        for path in ["a.txt", "html", "notes.md", "corpus"] {
            assert!(!is_html_meant(path, &[]), "{path}");
        }
        assert!(is_html_meant("page", &["**/*.html".to_owned(), "**/page".to_owned()]));
    }
}
