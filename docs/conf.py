"""How Sphinx makes the site of these pages: `make docs`. What it needs beside well-kept extensions is in `_site/`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_site"))

project = "cmlfast"
author = "the cmlfast authors"
copyright = author
version = release = version_of("cmlfast")

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "mathml",
    "navigation",
    "offline",
]
exclude_patterns = ["README.md", "_site", "examples/README.md"]
default_role = "autolink"  # `Interactions` in a docstring leads there; what leads nowhere is set as emphasis
nitpicky = True
# Types of other libraries: their documentation lies elsewhere, and this site is made without a network.
nitpick_ignore_regex = [("py:.*", r"(torch|numpy|scipy|pyarrow|optuna|collections|pathlib)\..*")]
suppress_warnings = ["config.cache"]  # nb_render_priority and the like hold functions

# Pages are Markdown that a forge shows as well: headings have the anchors that forges give them.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
html_math_renderer = "mathml"

# Notebooks are stored without output and run for every build; an error in one of them is an error of the build.
nb_execution_mode = "force"
nb_execution_timeout = 600  # a cell, on a machine that is busy with something else
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_output_stderr = "remove"  # progress bars
nb_merge_streams = True

autodoc_typehints = "none"  # the docstrings say them, with shapes and units
autodoc_member_order = "bysource"
autoclass_content = "class"
python_maximum_signature_line_length = 100
numpydoc_show_class_members = False  # the pages under api/ list them, in groups
numpydoc_class_members_toctree = False
numpydoc_validation_checks = {"PR01", "PR02", "SS01"}
# Not of twins, whose parameters are their operators'; of rules; of classes that document their fields.
numpydoc_validation_exclude = {
    r"cmlfast\.(reference|training)",
    r"cmlfast\.(datasets\.Dataset|indexes\.Index|serving\.explain\.Explanation|tuning\.Tuned)$",
}

html_theme = "furo"
html_title = f"cmlfast {version}"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
