from proofreader.report import DerivationLine
def explained(line, finding, judge):
    return line
