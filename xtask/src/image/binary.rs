//! What must be true of a binary before it goes into an image: it is static, and it answers.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context, ensure};
use object::{
    Endianness, elf,
    read::elf::{FileHeader as _, ProgramHeader as _},
};

/// Base64 characters in a line of a PEM file (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// Fails unless the file is a static ELF executable that answers `--version`.
pub fn check(path: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(is_static(&bytes)?, "{} needs a dynamic linker, which an image FROM scratch has not", path.display());
    let ran = Command::new(path).arg("--version").output().with_context(|| format!("cannot run {}", path.display()))?;
    ensure!(
        ran.status.success(),
        "{} --version fails: {}",
        path.display(),
        String::from_utf8_lossy(&ran.stderr).trim()
    );
    Ok(())
}

/// Whether no program header asks for an interpreter (`PT_INTERP`).
pub fn is_static(bytes: &[u8]) -> anyhow::Result<bool> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).context("not a 64-bit ELF file")?;
    let endian = header.endian().context("not an ELF file of a known byte order")?;
    let segments = header.program_headers(endian, bytes).context("the program headers cannot be read")?;
    Ok(segments.iter().all(|segment| segment.p_type(endian) != elf::PT_INTERP))
}

/// One certificate in PEM.
pub fn pem(der: &[u8]) -> String {
    let text = base64(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(PEM_LINE) {
        writeln!(pem, "{}", String::from_utf8_lossy(line)).expect("writing to a String cannot fail");
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}
