"""Where and how precisely figures are computed."""
