"""Packages that a tracking URI, or a place of artifacts, needs and that MLflow does not bring."""

from __future__ import annotations

import importlib.util

from fmbench.errors import TrackingError
from fmbench.tracking.credentials import masked, shown

DATABASES = ("postgresql", "mysql", "mssql")
"""What MLflow logs to through SQLAlchemy, besides sqlite."""

PACKAGES = {
    "psycopg2": "psycopg2-binary",
    "psycopg": '"psycopg[binary]"',
    "MySQLdb": "mysqlclient",
    "databricks.sdk": "databricks-sdk",
    "boto3": "boto3",
    "botocore": "boto3",
    "google.cloud": "google-cloud-storage",
    "google.cloud.storage": "google-cloud-storage",
    "azure.storage.blob": "azure-storage-blob",
    "azure.storage.filedatalake": "azure-storage-file-datalake",
    "azure.identity": "azure-identity",
    "requests_auth_aws_sigv4": "requests-auth-aws-sigv4",
}
"""The package that brings a module, where it has another name."""


def check_driver(uri: str) -> None:
    """Raise TrackingError, with the command that installs it, when the driver of a URI is missing."""
    scheme = uri.partition("://")[0]
    if scheme == "databricks":
        if not _is_there("databricks.sdk"):
            raise TrackingError(f"{shown(uri)} needs {_missing('databricks.sdk')}")
        return
    if scheme.partition("+")[0] not in DATABASES:
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ImportError as error:
        raise TrackingError(f"{scheme} needs {_missing(error.name or str(error))}") from error
    except (ArgumentError, ValueError) as error:  # no such dialect, no number for a port
        raise TrackingError(
            f"a database's URI must be as SQLAlchemy takes it; {shown(uri)}: {masked(str(error), uri)}"
        ) from None


def missing_package(error: BaseException) -> str:
    """Return what to install where an error, or what caused it, is a module that is not there; else ""."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ModuleNotFoundError) and link.name:
            return f"it needs {_missing(link.name)}"
        link = link.__cause__ or link.__context__
    return ""


def _missing(module: str) -> str:
    return f"{module}, which is not installed: pip install {PACKAGES.get(module, module.partition('.')[0])}"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False
