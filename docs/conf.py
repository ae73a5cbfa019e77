"Settings of the site; docs/build.py writes its sources and runs sphinx."

project = 'nlpdeep'
html_title = 'nlpdeep'
extensions = ['myst_nb']
html_theme = 'furo'
pygments_dark_style = 'github-dark'
html_static_path = ['_static']
html_css_files = ['site.css']
html_copy_source = False
html_show_sphinx = False
nb_execution_mode = 'off'
myst_enable_extensions = ['html_image']
myst_heading_anchors = 3
# what chapters do on purpose: a heading two levels down, code of a shell or of old Python
suppress_warnings = ['myst.header', 'misc.highlighting_failure', 'mystnb.unknown_mime_type']
