//! Owns volumes and does the filesystem work on trees.
