"""The sentences that terminology servers of the ecosystem say, so that clients and tests may compare them."""

from __future__ import annotations


def not_in_value_set(value_set: str, codes: str) -> str:
    return f"The provided code {codes} was not found in the value set '{value_set}'"


def no_valid_coding(value_set: str) -> str:
    return f"No valid coding was found for the value set '{value_set}'"


def unknown_code(code: str, system: str, version: str | None) -> str:
    text = f"Unknown code '{code}' in the CodeSystem '{system}'"
    return f"{text} version '{version}'" if version else text


def unknown_code_in_fragment(code: str, system: str, version: str | None) -> str:
    part = f" version '{version}'" if version else ""
    return (
        f"Unknown Code '{code}' in the CodeSystem '{system}'{part} - note that the code system is labeled as a "
        "fragment, so the code may be valid in some other fragment"
    )


def unknown_system(system: str, version: str | None = None, known: str = "") -> str:
    if not version:
        return f"A definition for CodeSystem '{system}' could not be found, so the code cannot be validated"
    text = f"A definition for CodeSystem '{system}' version '{version}' could not be found"
    text += ", so the code cannot be validated"
    return f"{text}. Valid versions: {known}" if known else f"{text}. No versions of this code system are known"


def unknown_system_expanding(system: str, version: str | None = None, known: str = "") -> str:
    if not version:
        return f"A definition for CodeSystem '{system}' could not be found, so the value set cannot be expanded"
    text = (
        f"A definition for CodeSystem '{system}' version '{version}' could not be found, so the value set cannot be "
        "expanded"
    )
    return f"{text}. Valid versions: {known}" if known else f"{text}. No versions of this code system are known"


def unknown_value_set(url: str) -> str:
    return f"A definition for the value Set '{url}' could not be found"


def unknown_import(url: str, version: str | None = None) -> str:
    name = f"{url}|{version}" if version else url
    return f"Unable to find included value set '{name}'"


def no_system() -> str:
    return (
        "Coding has no system. A code with no system has no defined meaning, and it cannot be validated. "
        "A system should be provided"
    )


def system_is_relative() -> str:
    return "Coding.system must be an absolute reference, not a local reference"


def system_is_value_set(system: str) -> str:
    return f"The Coding references a value set, not a code system ('{system}')"


def system_is_supplement(canonical: str) -> str:
    return f"CodeSystem {canonical} is a supplement, so can't be used as a value in Coding.system"


def cannot_infer(code: str, value_set: str) -> str:
    return f"The System URI could not be determined for the code '{code}' in the ValueSet '{value_set}'"


def many_systems(code: str, value_set: str, systems: list[str]) -> str:
    return f"{cannot_infer(code, value_set)}: value set expansion has multiple matches: [{', '.join(systems)}]"


def abstract_code(system: str, code: str) -> str:
    return f"Code '{system}#{code}' is abstract, and not allowed in this context"


def not_active(code: str) -> str:
    return f"The concept '{code}' is valid but is not active"


def inactive(code: str, status: str | None) -> str:
    said = status or "inactive"
    if said.lower() in ("inactive", "discouraged"):
        return f"The concept '{code}' has a status of {said} and its use should be reviewed"
    return f"The concept '{code}' has a status of {said} and inactive and its use should be reviewed"


def deprecated(code: str) -> str:
    return f"The concept '{code}' is deprecated and its use should be reviewed"


def deprecated_in_value_set(system: str, code: str, status: str, value_set: str) -> str:
    return (
        f"The presence of the concept '{code}' in the system '{system}' in the value set {value_set} is marked with a "
        f"status of {status} and its use should be reviewed"
    )


def case_differs(code: str, right: str, system: str) -> str:
    return (
        f"The code '{code}' differs from the correct code '{right}' by case. Although the code system '{system}' is "
        "case insensitive, implementers are strongly encouraged to use the correct case anyway"
    )


def not_normal(code: str, right: str, system: str) -> str:
    return (
        f"The code '{code}' is valid, but it is not the normal form for the code system '{system}'; the normal form is "
        f"'{right}'"
    )


def wrong_display(display: str, system: str, code: str, right: str, count: int, languages: str, *, spaces: bool) -> str:
    kind = "Wrong whitespace in Display Name" if spaces else "Wrong Display Name"
    choice = f"Valid display is {right}" if count == 1 else f"Valid display is one of {count} choices: {right}"
    return f"{kind} '{display}' for {system}#{code}. {choice} (for the language(s) '{languages}')"


def display_not_fixed(display: str, system: str, code: str) -> str:
    return f"'{display}' is not a display of {system}#{code}; use a supplement to add one"


def no_display_at_all(display: str, system: str, code: str) -> str:
    return f"Cannot validate the display '{display}' for {system}#{code} since there are no displays for the code"


def default_display(display: str, system: str, code: str, languages: str) -> str:
    return (
        f"There are no valid display names found for the code {system}#{code} for language(s) '{languages}'. "
        f"The display is '{display}' which is a valid display for the default language"
    )


def no_display_in_language(display: str, system: str, code: str, languages: str, default: str) -> str:
    return (
        f"Wrong Display Name '{display}' for {system}#{code}. There are no valid display names found for language(s) "
        f"'{languages}'. Default display is '{default}'"
    )


def inactive_display(display: str, code: str, right: list[str], status: str) -> str:
    shown = ",".join(f'"{one}"' for one in right)
    return (
        f"'{display}' is no longer considered a correct display for code '{code}' (status = {status}). "
        f"The correct display is one of {shown}."
    )


def version_differs(system: str, include: str | None, given: str) -> str:
    return (
        f"The code system '{system}' version '{include or ''}' in the ValueSet include is different to the one in the "
        f"value ('{given}')"
    )


def version_differs_from_result(system: str, result: str, include: str | None, given: str) -> str:
    return (
        f"The code system '{system}' version '{result}' resulting from the version '{include or ''}' in the ValueSet "
        f"include is different to the one in the value ('{given}')"
    )


def version_differs_from_default(system: str, default: str | None, given: str) -> str:
    return (
        f"The code system '{system}' version '{default or ''}' for the versionless include in the ValueSet include is "
        f"different to the one in the value ('{given}')"
    )


def version_not_allowed(system: str, version: str | None, required: str) -> str:
    return (
        f"The version '{version or ''}' is not allowed for system '{system}': required to be '{required}' by a "
        "version-check parameter"
    )


def filter_not_understood(property: str, op: str, value: str, value_set: str, system: str) -> str:
    return (
        f'The filter "{property} {op} {value}" from the value set {value_set} was not understood in the context of '
        f"{system}"
    )


def filter_without_value(system: str, property: str, op: str) -> str:
    return f"The system {system} filter with property = {property}, op = {op} has no value"


def circular(url: str, path: list[str]) -> str:
    return f"Found a circularity pointing to {url} processing ValueSet with pathway [{', '.join(path)}]"


def too_costly(value_set: str, limit: int) -> str:
    return f"The value set '{value_set}' expansion has too many codes to produce (>{limit})"


def supplement_missing(urls: list[str]) -> str:
    word = "supplement" if len(urls) == 1 else "supplements"
    return f"Required {word} not found: {', '.join(urls)}"


def bad_language(text: str) -> str:
    return f"Invalid displayLanguage: '{text}'"


def reference_to(what: str, type: str, canonical: str) -> str:
    return f"Reference to {what} {type} {canonical}"
