"""Files in and out: members of any tool, images, references, studies, and results on disk."""

from plausible.io.images import find_images, read_image
from plausible.io.member_folders import KINDS, Kind, MemberFolder, Structures
from plausible.io.nifti import (
    read_geometry,
    read_labels,
    read_nifti,
    write_image,
    write_label_map,
    write_scalar_map,
)
from plausible.io.nifti_members import LastAxis
from plausible.io.raw_dataset import DatasetJson, find_labels, read_dataset, read_dataset_json
from plausible.io.results import (
    case_inputs,
    finish_case,
    hash_file,
    hash_files,
    is_complete,
    read_scalar_map,
    write_case,
)
from plausible.io.rows import FAILURE_COLUMNS, read_failures, read_rows, write_failures, write_rows
from plausible.io.store import (
    check_whole,
    is_stored,
    read_members_json,
    store_path,
    write_member,
    write_members_json,
)
from plausible.io.study import find_study, read_study
from plausible.io.study_folders import StudyFolders, problems_of
from plausible.io.study_toml import StudyToml, read_study_toml

__all__ = [
    "FAILURE_COLUMNS",
    "KINDS",
    "DatasetJson",
    "Kind",
    "LastAxis",
    "MemberFolder",
    "Structures",
    "StudyFolders",
    "StudyToml",
    "case_inputs",
    "check_whole",
    "find_images",
    "find_labels",
    "find_study",
    "finish_case",
    "hash_file",
    "hash_files",
    "is_complete",
    "is_stored",
    "problems_of",
    "read_dataset",
    "read_dataset_json",
    "read_failures",
    "read_geometry",
    "read_image",
    "read_labels",
    "read_members_json",
    "read_nifti",
    "read_rows",
    "read_scalar_map",
    "read_study",
    "read_study_toml",
    "store_path",
    "write_case",
    "write_failures",
    "write_image",
    "write_label_map",
    "write_member",
    "write_members_json",
    "write_rows",
    "write_scalar_map",
]
