"""The commands `export` and `import`: carry runs between stores."""
