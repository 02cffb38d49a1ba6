"""A plugin to begin from: its files are made from the templates in `files`."""

from __future__ import annotations

from fmbench.plugin_template.create import NewPlugin, new_plugin

__all__ = ["NewPlugin", "new_plugin"]
